{{/* Files of the ConfigMap; a pod is replaced when one changes. */}}
{{- define "intent.redisFiles" -}}
redis.conf: |
  dir /data
  aclfile /run/redis/users.acl
  protected-mode no
  {{- if .Values.redis.tls.enabled }}
  port 0
  tls-port 6379
  tls-cert-file /etc/redis/tls/tls.crt
  tls-key-file /etc/redis/tls/tls.key
  tls-ca-cert-file /etc/redis/tls/ca.crt
  tls-auth-clients no
  {{- else }}
  port 6379
  {{- end }}
  # Both, so that a crash loses a second at most and a restart is quick.
  appendonly yes
  appendfsync everysec
  save 900 1
  # A store that forgets members silently would be worse than one that refuses to write.
  maxmemory-policy noeviction
  {{- with .Values.redis.maxMemory }}
  maxmemory {{ . }}
  {{- end }}
start.sh: |
  # Users with their passwords' digests, so that no password is on a command line or in a file.
  password() { tr -d '\n' < "/etc/redis/passwords/$1-password" | sha256sum | cut -d ' ' -f 1; }
  umask 077
  {
    echo "user default off"
    echo "user reader on #$(password reader) ~intent:* -@all +@read +@connection"
    echo "user writer on #$(password writer) ~intent:* -@all +@read +@connection +@write +@scripting -flushall -flushdb -swapdb"
    echo "user admin on #$(password admin) ~* &* +@all"
  } > /run/redis/users.acl
  exec redis-server /etc/redis/redis.conf
ready.sh: |
  export REDISCLI_AUTH="$(cat /etc/redis/passwords/reader-password)"
  redis-cli {{ if .Values.redis.tls.enabled }}--tls --cacert /etc/redis/tls/ca.crt {{ end }}--user reader --no-auth-warning ping | grep -q PONG
{{- end }}
