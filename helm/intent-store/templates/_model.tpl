{{/* What a server's container has, up to the end of its arguments. */}}
{{- define "intent.serverContainer" -}}
image: {{ include "intent.image" (dict "root" . "image" "serve") }}
imagePullPolicy: {{ .Values.images.pullPolicy }}
# The first becomes port 80 of KServe's Service, the others keep their number.
ports:
  - {name: http, containerPort: 8080, protocol: TCP}
  - {name: grpc, containerPort: 9000, protocol: TCP}
securityContext: {{- include "intent.containerSecurity" . | nindent 2 }}
startupProbe:
  httpGet: {path: /v2/health/ready, port: 8080}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 120
readinessProbe:
  httpGet: {path: /v2/health/ready, port: 8080}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /v2/health/live, port: 8080}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 4
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- with include "intent.storeMounts" . }}{{ . | nindent 2 }}{{ end }}
command: [python, -m, serving.server]
args:
  - --model-dir=/mnt/models
  - --host=0.0.0.0
  - --grpc-port=9000
  - --linger={{ .Values.serving.linger }}
  - --grace={{ .Values.serving.grace }}
  - --store=$(INTENT_STORE_URL)
{{- end }}

{{/* What KServe takes of a pod from the InferenceService, a ServingRuntime has no place for it. */}}
{{- define "intent.modelPod" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ .serving.terminationGracePeriodSeconds }}
securityContext: {{- include "intent.podSecurity" .root | nindent 2 }}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- toYaml $.labels | nindent 8 }}
{{- end }}
{{- end }}
