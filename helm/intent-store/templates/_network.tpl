{{/* Pods of one of this release's workloads. */}}
{{- define "intent.peer" -}}
podSelector:
  matchLabels: {{- include "intent.selector" . | nindent 4 }}
{{- end }}

{{/* Addresses and ports; any address when none is given. */}}
{{- define "intent.egress" -}}
to:
{{- range default (list "0.0.0.0/0") .cidrs }}
  - ipBlock: {cidr: {{ . | quote }}}
{{- end }}
ports:
{{- range .ports }}
  - {port: {{ . }}, protocol: TCP}
{{- end }}
{{- end }}

{{- define "intent.storeEgress" -}}
{{- if .Values.redis.enabled -}}
to:
  - {{- include "intent.peer" (dict "root" . "component" "redis") | nindent 4 }}
ports: [{port: 6379, protocol: TCP}]
{{- else -}}
{{- $port := regexFind ":[0-9]+(/|$)" .Values.store.url | trimAll ":/" | default "6379" }}
{{- include "intent.egress" (dict "cidrs" .Values.networkPolicies.store.cidrs "ports" (list $port)) }}
{{- end }}
{{- end }}

{{/* Buckets, and the metadata servers by which workload identity gives a pod its token. */}}
{{- define "intent.bucketEgress" -}}
{{- if or (hasPrefix "gs://" .Values.storage.registry) (hasPrefix "gs://" .Values.storage.exposures) (hasPrefix "gs://" .Values.nearline.snapshot) -}}
- {{- include "intent.egress" .Values.networkPolicies.buckets | nindent 2 }}
- {{- include "intent.egress" (dict "cidrs" (list "169.254.169.254/32") "ports" (list 80)) | nindent 2 }}
- {{- include "intent.egress" (dict "cidrs" (list "169.254.169.252/32") "ports" (list 988)) | nindent 2 }}
{{- else -}}
[]
{{- end }}
{{- end }}
