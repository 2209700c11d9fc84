{{/* What selects the release's pods. */}}
{{- define "keyward.selector" -}}
app.kubernetes.io/name: keyward
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "keyward.metadata" -}}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "keyward.selector" . | nindent 2 }}
{{- end }}

{{- define "keyward.isSidecar" -}}
{{- if eq .Values.mode "sidecar" }}true{{ end }}
{{- end }}

{{- define "keyward.config" -}}
{{- $mode := ternary "sidecar" "shared" (eq .Values.mode "sidecar") }}
{{- .Values.config | default (.Files.Get (printf "files/%s/keyward.yaml" $mode)) }}
{{- end }}

{{- define "keyward.envoyConfig" -}}
{{- .Values.sidecar.envoy.config | default (.Files.Get "files/sidecar/envoy.yaml") }}
{{- end }}

{{/* The names end in a hash of the content, so that a change is a rollout. */}}
{{- define "keyward.configName" -}}
{{ .Release.Name }}-config-{{ include "keyward.config" . | sha256sum | trunc 10 }}
{{- end }}

{{- define "keyward.envoyConfigName" -}}
{{ .Release.Name }}-envoy-{{ include "keyward.envoyConfig" . | sha256sum | trunc 10 }}
{{- end }}

{{- define "keyward.secretName" -}}
{{ .Values.keys.secretName | default (printf "%s-keys" .Release.Name) }}
{{- end }}

{{- define "keyward.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}
{{- end }}
