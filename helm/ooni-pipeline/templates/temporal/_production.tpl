{{/*
Templates of the mode `production`: the services of a Temporal server as Deployments.

files/temporal-server.yaml, files/temporal-schema.sh and files/temporal-namespace.sh are not Helm templates: compose.yaml and the test of this
mode use the same files. They read their settings from the environment, which the template below writes.
*/}}

{{/* The user that the images of Temporal name; a number, because Kubernetes cannot check that a name is not root. */}}
{{- define "ooni-pipeline.temporal.podSecurityContext" -}}
{{- include "ooni-pipeline.podSecurityContext" (dict "override" (dict "runAsUser" 1000 "runAsGroup" 1000 "fsGroup" 1000)) -}}
{{- end }}

{{/* ConfigMap data: settings of the services and of the schema Job that are not secret. */}}
{{- define "ooni-pipeline.temporal.settings" -}}
{{- $production := .Values.temporal.production -}}
{{- $postgresql := $production.postgresql -}}
NUM_HISTORY_SHARDS: {{ $production.historyShards | int64 | toString | quote }}
LOG_LEVEL: {{ $production.logLevel | quote }}
POSTGRES_SEEDS: {{ $postgresql.host | quote }}
DB_PORT: {{ $postgresql.port | int64 | toString | quote }}
POSTGRES_USER: {{ $postgresql.user | quote }}
DBNAME: {{ $postgresql.database | quote }}
VISIBILITY_DBNAME: {{ $postgresql.visibilityDatabase | quote }}
CREATE_DATABASES: {{ $postgresql.createDatabases | quote }}
SQL_MAX_CONNS: {{ $postgresql.maxConnections | int64 | toString | quote }}
SQL_TLS_ENABLED: {{ $postgresql.tls.enabled | quote }}
{{- if $postgresql.tls.enabled }}
SQL_HOST_NAME: {{ $postgresql.host | quote }}
SQL_HOST_VERIFICATION: {{ $postgresql.tls.hostVerification | quote }}
{{- if $postgresql.tls.caSecret }}
SQL_CA: /etc/temporal/postgresql-ca/{{ $postgresql.tls.caKey }}
{{- end }}
{{- end }}
ENABLE_ES: {{ $production.elasticsearch.enabled | quote }}
{{- with $production.elasticsearch }}
{{- if .enabled }}
ES_VERSION: {{ .version | quote }}
ES_SCHEME: {{ .scheme | quote }}
ES_SEEDS: {{ .host | quote }}
ES_PORT: {{ .port | int64 | toString | quote }}
ES_USER: {{ .user | quote }}
ES_VIS_INDEX: {{ .index | quote }}
{{- if .caSecret }}
ES_CA: /etc/temporal/elasticsearch-ca/{{ .caKey }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Environment of a container from the Secrets. */}}
{{- define "ooni-pipeline.temporal.passwords" -}}
{{- $production := .Values.temporal.production -}}
- name: POSTGRES_PWD
  valueFrom:
    secretKeyRef:
      name: {{ $production.postgresql.existingSecret | quote }}
      key: {{ $production.postgresql.passwordKey | quote }}
{{- with $production.elasticsearch }}
{{- if and .enabled .user }}
- name: ES_PWD
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret | quote }}
      key: {{ .passwordKey | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "ooni-pipeline.temporal.authorityMounts" -}}
{{- $production := .Values.temporal.production -}}
{{- if and $production.postgresql.tls.enabled $production.postgresql.tls.caSecret }}
- name: postgresql-ca
  mountPath: /etc/temporal/postgresql-ca
  readOnly: true
{{- end }}
{{- if and $production.elasticsearch.enabled $production.elasticsearch.caSecret }}
- name: elasticsearch-ca
  mountPath: /etc/temporal/elasticsearch-ca
  readOnly: true
{{- end }}
{{- end }}

{{- define "ooni-pipeline.temporal.authorityVolumes" -}}
{{- $production := .Values.temporal.production -}}
{{- if and $production.postgresql.tls.enabled $production.postgresql.tls.caSecret }}
- name: postgresql-ca
  secret:
    secretName: {{ $production.postgresql.tls.caSecret | quote }}
{{- end }}
{{- if and $production.elasticsearch.enabled $production.elasticsearch.caSecret }}
- name: elasticsearch-ca
  secret:
    secretName: {{ $production.elasticsearch.caSecret | quote }}
{{- end }}
{{- end }}

{{/* Temporal's dynamic configuration: each setting once, without constraints. */}}
{{- define "ooni-pipeline.temporal.dynamicConfig" -}}
{{- range $key, $value := .Values.temporal.production.dynamicConfig }}
{{ $key }}:
  - value: {{ if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ int64 $value }}{{ else }}{{ toJson $value }}{{ end }}
{{- end }}
{{- end }}

{{/* Fails with field, value and remedy; part of ooni-pipeline.validate. */}}
{{- define "ooni-pipeline.temporal.validateProduction" -}}
{{- $production := .Values.temporal.production -}}
{{- if not $production.postgresql.host -}}
{{- fail "temporal.mode is production, but temporal.production.postgresql.host is empty; set it to the host of PostgreSQL, or temporal.mode to embedded" -}}
{{- end -}}
{{- if not $production.postgresql.existingSecret -}}
{{- fail "temporal.mode is production, but temporal.production.postgresql.existingSecret is empty; create a Secret with the password and set the value to its name" -}}
{{- end -}}
{{- if eq $production.postgresql.database $production.postgresql.visibilityDatabase -}}
{{- fail (printf "temporal.production.postgresql.database and visibilityDatabase are both %q; their tables differ, so set two names" $production.postgresql.database) -}}
{{- end -}}
{{- with $production.elasticsearch -}}
{{- if and .enabled (not .host) -}}
{{- fail "temporal.production.elasticsearch.enabled is true, but its host is empty; set it to the host of Elasticsearch or OpenSearch, or enabled to false" -}}
{{- end -}}
{{- if and .enabled .user (not .existingSecret) -}}
{{- fail (printf "temporal.production.elasticsearch.user is %q, but its existingSecret is empty; create a Secret with the password and set the value to its name" .user) -}}
{{- end -}}
{{- if and .enabled .caSecret (eq .scheme "http") -}}
{{- fail "temporal.production.elasticsearch.caSecret is set, but its scheme is http; set the scheme to https, or caSecret to an empty string" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Egress rules to PostgreSQL and Elasticsearch, wherever they are. */}}
{{- define "ooni-pipeline.temporal.storeEgress" -}}
- ports:
    - { port: {{ .Values.temporal.production.postgresql.port }}, protocol: TCP }
    {{- if .Values.temporal.production.elasticsearch.enabled }}
    - { port: {{ .Values.temporal.production.elasticsearch.port }}, protocol: TCP }
    {{- end }}
{{- end }}
