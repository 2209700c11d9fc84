{{- define "keyward.hardened" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "keyward.resources" -}}
{{- if .Values.resources }}
{{- toYaml .Values.resources }}
{{- else if include "keyward.isSidecar" . -}}
requests: {cpu: 100m, memory: 96Mi}
limits: {cpu: "1", memory: 192Mi}
{{- else -}}
requests: {cpu: 500m, memory: 256Mi}
limits: {cpu: "2", memory: 512Mi}
{{- end }}
{{- end }}

{{- define "keyward.container" -}}
{{- $sidecar := include "keyward.isSidecar" . -}}
name: keyward
image: {{ include "keyward.image" . }}
{{- if $sidecar }}
# Starts before the API and ends after it.
restartPolicy: Always
{{- end }}
args: [serve, --config, /etc/keyward/keyward.yaml]
env:
{{- with .Values.store.urlSecret }}
{{ include "keyward.storeEnv" . }}
{{- end }}
{{ include "keyward.memoryLimit" . }}
ports:
{{- if not $sidecar }}
- {name: grpc, containerPort: 9191, protocol: TCP}
- {name: http, containerPort: 9192, protocol: TCP}
{{- end }}
- {name: admin, containerPort: 9193, protocol: TCP}
{{ include "keyward.probes" . }}
{{- if not $sidecar }}
{{ include "keyward.preStop" . }}
{{- end }}
resources:
  {{- include "keyward.resources" . | nindent 2 }}
{{ include "keyward.hardened" . }}
volumeMounts:
{{- if $sidecar }}
- {name: keyward-socket, mountPath: /run/keyward}
{{- end }}
{{- with .Values.store.urlSecret }}
- {name: copies, mountPath: /var/lib/keyward}
{{ include "keyward.storeMount" . }}
{{- end }}
- {name: config, mountPath: /etc/keyward, readOnly: true}
- {name: keys, mountPath: /run/secrets/keyward, readOnly: true}
{{- end }}

{{- define "keyward.memoryLimit" -}}
# The memory request is also the limit of the garbage collector. The memory between the
# request and the limit is for what it does not count, such as the processes that hash
# passwords.
- name: GOMEMLIMIT
  valueFrom:
    resourceFieldRef: {resource: requests.memory}
{{- end }}

{{- define "keyward.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{- define "keyward.preStop" -}}
lifecycle:
  # Until every proxy knows that this pod terminates.
  preStop:
    sleep: {seconds: 10}
{{- end }}

{{- define "keyward.envoy" -}}
name: envoy
image: {{ .Values.sidecar.envoy.image }}
restartPolicy: Always
# Bypasses the image's script, which needs root.
command: [envoy]
args: [--config-path, /etc/envoy/envoy.yaml, --disable-hot-restart, --concurrency, "2", --drain-time-s, "20"]
ports:
- {name: http, containerPort: 10000, protocol: TCP}
- {name: envoy-admin, containerPort: 9902, protocol: TCP}
startupProbe:
  httpGet: {path: /ready, port: envoy-admin}
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /ready, port: envoy-admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /ready, port: envoy-admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
lifecycle:
  # From the start of the pod's termination, Envoy asks its clients to move their
  # connections. /drain_listeners needs a POST.
  preStop:
    exec:
      command:
      - bash
      - -c
      - |
        exec 3<>/dev/tcp/127.0.0.1/9901
        printf 'POST /drain_listeners?graceful HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' >&3
        read -r -t 5 _ status _ <&3 && [ "$status" = 200 ]
resources:
  {{- toYaml .Values.sidecar.envoy.resources | nindent 2 }}
{{ include "keyward.hardened" . }}
volumeMounts:
- {name: envoy, mountPath: /etc/envoy, readOnly: true}
- {name: keyward-socket, mountPath: /run/keyward, readOnly: true}
{{- end }}

{{- define "keyward.sampleAPI" -}}
name: api
image: stefanprodan/podinfo:6.9.0
command: [./podinfo, --host=127.0.0.1, --port=8000]
# The kubelet cannot reach 127.0.0.1, so it asks as a client does, at Envoy's port.
readinessProbe:
  httpGet: {path: /readyz, port: 10000}
  periodSeconds: 5
  timeoutSeconds: 2
lifecycle:
  # Until no client sends this pod new requests, and connections have been drained.
  preStop:
    sleep: {seconds: 20}
resources:
  requests: {cpu: 100m, memory: 64Mi}
  limits: {memory: 128Mi}
{{ include "keyward.hardened" . }}
{{- end }}
