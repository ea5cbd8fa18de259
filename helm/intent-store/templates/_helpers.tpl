{{- define "intent.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels by which pods are found: of the context `root` and the name `component`. */}}
{{- define "intent.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "intent.labels" -}}
{{ include "intent.selector" . }}
app.kubernetes.io/part-of: intent-store
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Address of an image: of the context `root` and the key `image` below images. */}}
{{- define "intent.image" -}}
{{- $images := .root.Values.images }}
{{- $image := index $images .image }}
{{- with $images.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag }}{{ end }}
{{- end }}

{{- define "intent.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "intent.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "intent.containerSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Where pods of a workload go: `values` of the workload; spread over nodes and zones. */}}
{{- define "intent.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "intent.selector" $ | nindent 8 }}
{{- end }}
{{- end }}

{{/* Namespace of the runs' pods, and of what they mount and create. */}}
{{- define "intent.runs" -}}
{{- default .Release.Namespace .Values.pipelines.namespace }}
{{- end }}

{{- define "intent.storeUrl" -}}
{{- if .Values.redis.enabled -}}
{{ ternary "rediss" "redis" .Values.redis.tls.enabled }}://{{ include "intent.fullname" . }}-redis.{{ .Release.Namespace }}.svc:6379/0
{{- else -}}
{{ .Values.store.url }}
{{- end }}
{{- end }}

{{/* Name of the Secret with reader-password and writer-password. */}}
{{- define "intent.storeSecret" -}}
{{- if .Values.redis.enabled -}}
{{ default (printf "%s-redis" (include "intent.fullname" .)) .Values.redis.existingSecret }}
{{- else -}}
{{ .Values.store.existingSecret }}
{{- end }}
{{- end }}

{{- define "intent.storeCa" -}}
{{- if and .Values.redis.enabled .Values.redis.tls.enabled }}{{ .Values.redis.tls.secret }}{{ else if not .Values.redis.enabled }}{{ .Values.store.caSecret }}{{ end }}
{{- end }}

{{/* Environment of a process that opens the store as `role`, reader or writer. */}}
{{- define "intent.storeEnv" -}}
- name: INTENT_STORE_URL
  value: {{ include "intent.storeUrl" .root | quote }}
{{- with include "intent.storeSecret" .root }}
- name: INTENT_STORE_USER
  value: {{ $.role }}
- name: INTENT_STORE_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $.role }}-password}}
{{- end }}
{{- if include "intent.storeCa" .root }}
- name: INTENT_STORE_CA
  value: /etc/intent/store/ca.crt
{{- end }}
{{- end }}

{{- define "intent.storeMounts" -}}
{{- if include "intent.storeCa" . }}
- name: store-ca
  mountPath: /etc/intent/store
  readOnly: true
{{- end }}
{{- end }}

{{- define "intent.storeVolumes" -}}
{{- with include "intent.storeCa" . }}
- name: store-ca
  secret: {secretName: {{ . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}

{{/* Whether a real API server answers: rendering alone knows no aggregated API. */}}
{{- define "intent.onCluster" -}}
{{- if .Capabilities.APIVersions.Has "apiregistration.k8s.io/v1" }}true{{ end }}
{{- end }}

{{/* Refuse when the cluster does not serve a kind: `kind` as group/version/Kind, `value` that asks. */}}
{{- define "intent.need" -}}
{{- if and (include "intent.onCluster" .root) (not (.root.Capabilities.APIVersions.Has .kind)) }}
{{- fail (printf "%s asks for %s, which this cluster does not serve: install what defines it, or change the value" .value .kind) }}
{{- end }}
{{- end }}

{{- define "intent.registryIsFolder" -}}
{{- if hasPrefix "/intent/" .Values.storage.registry }}true{{ end }}
{{- end }}

{{/* Whether the router writes or reads below /intent. */}}
{{- define "intent.routerMountsWork" -}}
{{- if or (hasPrefix "/intent/" .Values.storage.exposures) (hasPrefix "/intent/" .Values.storage.outcomes) }}true{{ end }}
{{- end }}

{{- define "intent.policyVersion" -}}
{{- if .Capabilities.APIVersions.Has "policy/v1" }}policy/v1{{ else }}policy/v1beta1{{ end }}
{{- end }}

{{- define "intent.scalingVersion" -}}
{{- if .Capabilities.APIVersions.Has "autoscaling/v2" }}autoscaling/v2{{ else }}autoscaling/v2beta2{{ end }}
{{- end }}

{{- define "intent.nearlineMounts" -}}
- {name: state, mountPath: /var/lib/intent/nearline}
- {name: tmp, mountPath: /tmp}
{{- if .work }}
- {name: work, mountPath: /intent, readOnly: true}
{{- end }}
{{- end }}
