"""What Redis carries out in one step, as Lua, on the keys of one bucket or of the whole dataset.

A record's age is read from its first eight bytes: strings compare by the server's locale.
"""

import hashlib
from typing import NamedTuple


class Script(NamedTuple):
    """A script and the digest it is called by."""

    body: bytes
    digest: bytes

    def on(self, keys: list[bytes], *arguments: bytes | str | int) -> tuple:
        """Make the command that calls it."""
        return (b"EVALSHA", self.digest, len(keys), *keys, *arguments)


def _script(body: str) -> Script:
    age = "local function age(value) return (struct.unpack('>i8', value)) end\n"
    source = (age + body).encode()
    return Script(source, hashlib.sha1(source).hexdigest().encode())


PUBLISH = _script("""
-- Tell a bucket which versions there are, unless it was told of a later state.
local known = redis.call('GET', KEYS[1])
if not known or tonumber(string.match(known, '^%d+')) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[2])
end
return 1
""")
"""Keys: state. Arguments: revision, state (which begins with its revision)."""

PUT = _script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local any = redis.call('SCARD', KEYS[2]) > 0
if not any and redis.call('SCARD', KEYS[4]) == 0 then
  for i = 2, #ARGV, 1000 do
    redis.call('HSET', KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV)))
  end
  return 1
end
for i = 2, #ARGV, 2 do
  local name, value = ARGV[i], ARGV[i + 1]
  if not any or redis.call('SISMEMBER', KEYS[2], name) == 0 then
    local old = redis.call('HGET', KEYS[3], name)
    local kept = old and redis.call('SISMEMBER', KEYS[4], name) == 1 and age(old) >= age(value)
    if not kept then
      redis.call('HSET', KEYS[3], name, value)
    end
  end
end
return 1
""")
"""Keys: token, deleted, records, written. Arguments: token, then names and values."""

WRITE = _script("""
local state = redis.call('GET', KEYS[1]) or ''
if state ~= ARGV[1] then return {state} end
local landed = {}
for i = 2, #ARGV, 2 do
  local name, value, bits = ARGV[i], ARGV[i + 1], 0
  if redis.call('SISMEMBER', KEYS[2], name) == 1 then
    bits = -1
  else
    for v = 3, #KEYS, 2 do
      local old = redis.call('HGET', KEYS[v], name)
      if not old or age(old) < age(value) then
        redis.call('HSET', KEYS[v], name, value)
        redis.call('SADD', KEYS[v + 1], name)
        bits = bits + 2 ^ ((v - 3) / 2)
      end
    end
  end
  landed[#landed + 1] = bits
end
return landed
""")
"""Keys: state, deleted, then records and written of each version. Arguments: state as the caller
knows it, then names and values. Answers the state when it is another, else for each record -1 if
deleted, or the versions it landed on as bits."""

DELETE = _script("""
local state = redis.call('GET', KEYS[1]) or ''
if state ~= ARGV[1] then return state end
for v = 3, #KEYS, 2 do
  redis.call('HDEL', KEYS[v], ARGV[2])
  redis.call('SREM', KEYS[v + 1], ARGV[2])
end
return redis.call('SADD', KEYS[2], ARGV[2])
""")
"""Keys: as of WRITE. Arguments: state, name. Answers the state when it is another."""

CARRY = _script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
for _, name in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  local value, old = redis.call('HGET', KEYS[2], name), redis.call('HGET', KEYS[4], name)
  if value and age(value) > tonumber(ARGV[2]) and (not old or age(old) < age(value)) then
    redis.call('HSET', KEYS[4], name, value)
    redis.call('SADD', KEYS[5], name)
  end
end
return 1
""")
"""Keys: token, records and written of the one version, records and written of the other.
Arguments: token, time after which records are wanted."""

SWITCH = _script("""
if ARGV[1] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[1] then return -1 end
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[2] then return 0 end
if redis.call('HEXISTS', KEYS[2], ARGV[3]) == 0 then return 0 end
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[1], ARGV[3])
return 1
""")
"""Keys: current, versions, token. Arguments: token or nothing, number believed current, number to
become current, then numbers and versions to save. Answers 0 when another is
current, or the one is gone."""

DROP = _script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
redis.call('SADD', KEYS[3], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
""")
"""Keys: current, versions, dropping. Arguments: number, which is to be no version any more."""

ALL = [script.body for script in (PUBLISH, PUT, WRITE, DELETE, CARRY, SWITCH, DROP)]
