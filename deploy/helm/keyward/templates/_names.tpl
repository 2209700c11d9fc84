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

{{/* The pods of the console are others: no proxy asks them. */}}
{{- define "keyward.consoleSelector" -}}
app.kubernetes.io/name: keyward-console
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "keyward.consoleMetadata" -}}
name: {{ .Release.Name }}-console
namespace: {{ .Release.Namespace }}
labels:
  {{- include "keyward.consoleSelector" . | nindent 2 }}
{{- end }}

{{- define "keyward.migrateLabels" -}}
app.kubernetes.io/name: keyward-migrate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "keyward.isSidecar" -}}
{{- if eq .Values.mode "sidecar" }}true{{ end }}
{{- end }}

{{- define "keyward.config" -}}
{{- $kind := ternary "central" "shared" (ne .Values.store.urlSecret "") }}
{{- if eq .Values.mode "sidecar" }}{{ $kind = "sidecar" }}{{ end }}
{{- .Values.config | default (.Files.Get (printf "files/%s/keyward.yaml" $kind)) }}
{{- end }}

{{- define "keyward.consoleConfig" -}}
{{- .Values.console.config | default (.Files.Get "files/central/keyward-console.yaml") }}
{{- end }}

{{- define "keyward.envoyConfig" -}}
{{- .Values.sidecar.envoy.config | default (.Files.Get "files/sidecar/envoy.yaml") }}
{{- end }}

{{/* The names end in a hash of the content, so that a change is a rollout. */}}
{{- define "keyward.configName" -}}
{{ .Release.Name }}-config-{{ include "keyward.config" . | sha256sum | trunc 10 }}
{{- end }}

{{- define "keyward.consoleConfigName" -}}
{{ .Release.Name }}-console-config-{{ include "keyward.consoleConfig" . | sha256sum | trunc 10 }}
{{- end }}

{{- define "keyward.migrateConfigName" -}}
{{ .Release.Name }}-migrate-config-{{ include "keyward.config" . | sha256sum | trunc 10 }}
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
