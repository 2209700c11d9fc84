{{/* What the chart cannot do. */}}
{{- define "keyward.checkStore" -}}
{{- with .Values.store }}
{{- if and (not .urlSecret) (or .migrateSecret $.Values.console.urlSecret) }}
{{- fail "store.migrateSecret and console.urlSecret need store.urlSecret" }}
{{- end }}
{{- if and .urlSecret (include "keyward.isSidecar" $) (not $.Values.config) }}
{{- fail "store.urlSecret in mode sidecar needs config: a keyward.yaml with store.url" }}
{{- end }}
{{- if and .migrateSecret $.Values.keys.create }}
{{- fail "store.migrateSecret needs keys.create=false: the Job runs before the chart could make the Secret with the pepper" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Take the name of a Secret with url, password and ca.crt. */}}
{{- define "keyward.storeEnv" -}}
- name: KEYWARD_STORE_URL
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: url}
- {name: PGSSLROOTCERT, value: /run/secrets/keyward-database/ca.crt}
{{- end }}

{{- define "keyward.storeMount" -}}
- {name: database, mountPath: /run/secrets/keyward-database, readOnly: true}
{{- end }}

{{- define "keyward.storeVolume" -}}
- name: database
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
    - {key: password, path: password}
    - {key: ca.crt, path: ca.crt}
{{- end }}

{{/* Destinations of Keyward's own traffic. */}}
{{- define "keyward.egress" -}}
{{- if or .Values.networkPolicy.egress (not .Values.store.urlSecret) -}}
egress: {{ toYaml .Values.networkPolicy.egress | nindent 2 }}
{{- else -}}
egress:
# DNS.
- to:
  - namespaceSelector:
      matchLabels: {kubernetes.io/metadata.name: kube-system}
  ports:
  - {port: 53, protocol: UDP}
  - {port: 53, protocol: TCP}
# The database, wherever it is.
- ports:
  - {port: 5432, protocol: TCP}
{{- end }}
{{- end }}

{{- define "keyward.copiesVolume" -}}
# A restarted container starts with its copies, without the database. A new pod needs the
# database once.
- name: copies
  emptyDir: {sizeLimit: 1Gi}
{{- end }}

{{- define "keyward.keysVolume" -}}
- name: keys
  secret:
    secretName: {{ include "keyward.secretName" . }}
    defaultMode: 0440
    # Listed by name, so that a pod waits for a Secret that does not have them yet.
    items:
    {{- if not .Values.store.urlSecret }}
    - {key: keys.jsonl, path: keys.jsonl}
    {{- end }}
    - {key: pepper, path: pepper}
{{- end }}
