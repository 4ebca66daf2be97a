{{/* Environment of both containers of Superset. */}}
{{- define "ooni-pipeline.supersetEnv" -}}
# The root is read-only; programs that look for a home find this one.
- { name: HOME, value: /tmp }
- { name: SUPERSET_PROVISION, value: {{ .Values.superset.provision | quote }} }
- { name: SUPERSET_TIME_RANGE, value: {{ .Values.superset.timeRange | quote }} }
- { name: SUPERSET_TIME_GRAIN, value: {{ .Values.superset.timeStep | quote }} }
- { name: SUPERSET_ADMIN_USERNAME, value: {{ .Values.superset.admin.username | quote }} }
- { name: SUPERSET_ADMIN_EMAIL, value: {{ .Values.superset.admin.email | quote }} }
- { name: SUPERSET_CACHE_SECONDS, value: {{ .Values.superset.cacheSeconds | quote }} }
- { name: SUPERSET_TIMEOUT, value: {{ .Values.superset.timeoutSeconds | quote }} }
- { name: SUPERSET_PROXY_FIX, value: {{ ternary "1" "" .Values.superset.behindProxy | quote }} }
- { name: SUPERSET_HTTPS, value: {{ ternary "1" "" .Values.superset.https | quote }} }
{{- $secret := default (include "ooni-pipeline.componentName" (dict "root" . "component" "superset")) .Values.superset.credentials.existingSecret }}
{{- range $variable := list "SUPERSET_SECRET_KEY" "SUPERSET_ADMIN_PASSWORD" }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef: { name: {{ $secret | quote }}, key: {{ $variable }} }
{{- end }}
- name: SUPERSET_PREVIOUS_SECRET_KEY
  valueFrom:
    secretKeyRef: { name: {{ $secret | quote }}, key: SUPERSET_PREVIOUS_SECRET_KEY, optional: true }
{{- if eq .Values.superset.metadata "postgresql" }}
- name: SUPERSET_METADATA_URL
  valueFrom:
    secretKeyRef: { name: {{ $secret | quote }}, key: SUPERSET_METADATA_URL }
{{- end }}
- name: CLICKHOUSE_URL
  valueFrom:
    secretKeyRef:
      name: {{ default (include "ooni-pipeline.secretName" .) .Values.superset.clickhouse.existingSecret | quote }}
      key: {{ .Values.superset.clickhouse.key | quote }}
{{- with .Values.superset.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
