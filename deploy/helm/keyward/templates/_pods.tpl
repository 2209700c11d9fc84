{{/* What the pods of the chart have in common. */}}
{{- define "keyward.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  # The group of the files in the volumes, and so of the readers of the keys.
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Takes what selects the pods. */}}
{{- define "keyward.spread" -}}
topologySpreadConstraints:
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  # Only pods of one revision are spread; otherwise a rollout ends up uneven.
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- $ | nindent 6 }}
{{- end }}
{{- end }}

{{- define "keyward.noProxy" -}}
# Keyward needs no proxy, which would also need more network access than Keyward may
# have.
sidecar.istio.io/inject: "false"
{{- end }}
