"""A deleted member is nowhere, and does not come back."""

from components.store.push import push

from .conftest import DAY, make_records

NAMES = [f"m{row:02}" for row in range(30)]


def test_a_deleted_member_is_gone_at_once(pushed, reader, writer):
    pushed("monday", NAMES)
    store = reader()
    assert store.get("m03") is not None
    assert writer.delete("m03")
    assert store.get("m03") is None
    assert store.vectors(["m02", "m03"])[1].tolist() == [True, False]
    assert "m03" not in [name for part in store.scan() for name in part.member_ids]
    assert store.deleted() == ["m03"]


def test_deleting_again_is_harmless(pushed, writer):
    pushed("monday", NAMES)
    assert [writer.delete("m03"), writer.delete("m03")] == [True, False]


def test_a_member_is_deleted_from_kept_versions_too(pushed, writer):
    pushed("monday", NAMES)
    pushed("tuesday", NAMES)
    writer.delete("m03")
    writer.rollback()
    assert writer.get("m03") is None


def test_later_pushes_leave_a_deleted_member_out(pushed, writer):
    pushed("monday", NAMES)
    writer.delete("m03")
    pushed("tuesday", NAMES)
    assert writer.get("m03") is None
    assert writer.vectors(NAMES)[1].sum() == len(NAMES) - 1


def test_a_member_may_be_deleted_before_the_first_push(pushed, writer):
    writer.delete("m03")
    pushed("monday", NAMES)
    assert writer.get("m03") is None
    assert writer.get("m04") is not None


def test_writes_do_not_bring_a_deleted_member_back(pushed, writer):
    pushed("monday", NAMES)
    writer.delete("m03")
    written = writer.write(make_records(["m03", "m04"]), model="v1")
    assert (written.versions, written.refused, written.deleted) == ({1: 1}, 0, 1)
    assert writer.get("m03") is None


def test_deleting_during_a_push_keeps_the_member_out_of_it(url, pushed, interrupted, writer):
    """Members of a shard that is written, of one that is not, and with a waiting write."""
    pushed("monday", NAMES)
    run = interrupted("tuesday", NAMES, shards=2)
    writer.write(make_records(["m28"]), model="v1")
    for name in ("m00", "m29", "m28"):
        writer.delete(name)
    push(url, "jobs", run, data_time=DAY, shard_size=7)
    assert [writer.get(name) is None for name in ("m00", "m01", "m28", "m29")] == [
        True,
        False,
        True,
        True,
    ]
