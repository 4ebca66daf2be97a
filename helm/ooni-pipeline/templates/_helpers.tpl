{{/*
Conventions of this chart, with the named template that applies each:

  names             <fullname>-<component>                          ooni-pipeline.fullname, ooni-pipeline.componentName
  labels            app.kubernetes.io/* and helm.sh/chart           ooni-pipeline.labels        (dict "root" $ "component" "operator")
  labels of pods    without versions, which would restart them      ooni-pipeline.podLabels     (the same dict)
  more labels       replace commonLabels with the same key          "more" LABELS in the dict of either
  selectors         name, instance, component; never change         ooni-pipeline.selectorLabels (the same dict)
  images            registry, repository, tag, digest               ooni-pipeline.image         (dict "root" $ "image" .Values.image)
                    pullPolicy IfNotPresent                         ooni-pipeline.imagePullPolicy (the same dict)
  pull secrets      global.imagePullSecrets                         ooni-pipeline.imagePullSecrets $
  pods              restricted Pod Security Standard                ooni-pipeline.podSecurityContext (dict "override" .Values.x.podSecurityContext)
                    read-only root, all capabilities dropped        ooni-pipeline.containerSecurityContext (dict "override" .Values.x.securityContext)
  scheduling        nodeSelector, tolerations, affinity, ...        ooni-pipeline.scheduling     (dict "root" $ "component" "operator" "values" .Values.operator)
  settings          ConfigMap <fullname>, Secret                    ooni-pipeline.envFrom        $
  checks            `fail` with field, value and remedy             ooni-pipeline.validate       $ (templates/validate.yaml)

A pod does not mount a token unless it uses the Kubernetes API. A writable path is an emptyDir. Nothing in the output is random or looked up in
the cluster, so that two renderings are equal. A folder of templates/ is a component; its values have the key of the folder.
*/}}

{{- define "ooni-pipeline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Prefix of all names, at most 40 characters: the suffix of a component still fits into 63. */}}
{{- define "ooni-pipeline.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* dict "root" $ "component" "operator" */}}
{{- define "ooni-pipeline.componentName" -}}
{{- printf "%s-%s" (include "ooni-pipeline.fullname" .root) .component -}}
{{- end }}

{{/* dict "root" $ "component" "operator"; without a component, of objects that belong to all. */}}
{{- define "ooni-pipeline.labels" -}}
{{ include "ooni-pipeline.selectorLabels" . }}
app.kubernetes.io/part-of: ooni-pipeline
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with mergeOverwrite (deepCopy (default (dict) .root.Values.commonLabels)) (default (dict) .more) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ooni-pipeline.podLabels" -}}
{{ include "ooni-pipeline.selectorLabels" . }}
app.kubernetes.io/part-of: ooni-pipeline
{{- with mergeOverwrite (deepCopy (default (dict) .root.Values.commonLabels)) (default (dict) .more) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ooni-pipeline.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ooni-pipeline.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* dict "root" $ "image" .Values.image: the reference of an image. A digest has priority over a tag; global.imageRegistry over the registry. */}}
{{- define "ooni-pipeline.image" -}}
{{- $registry := default .image.registry .root.Values.global.imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest -}}@{{ .image.digest }}{{- else -}}:{{ default .root.Chart.AppVersion .image.tag }}{{- end -}}
{{- end }}

{{- define "ooni-pipeline.imagePullPolicy" -}}
{{- default "IfNotPresent" .image.pullPolicy -}}
{{- end }}

{{- define "ooni-pipeline.imagePullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ if kindIs "string" . }}{{ quote . }}{{ else }}{{ quote .name }}{{ end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* dict "override" VALUES: keys of the override have priority. */}}
{{- define "ooni-pipeline.podSecurityContext" -}}
{{- $restricted := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- toYaml (mergeOverwrite $restricted (deepCopy (default (dict) .override))) -}}
{{- end }}

{{- define "ooni-pipeline.containerSecurityContext" -}}
{{- $restricted := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- toYaml (mergeOverwrite $restricted (deepCopy (default (dict) .override))) -}}
{{- end }}

{{/*
dict "root" $ "component" "operator" "values" .Values.operator: fields of a pod spec about its place. Without topologySpreadConstraints,
replicas prefer different hosts and zones.
*/}}
{{- define "ooni-pipeline.scheduling" -}}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .values.topologySpreadConstraints }}
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- $selector := include "ooni-pipeline.selectorLabels" (dict "root" .root "component" .component) }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Name of the Secret with the secret settings of operator and workers. */}}
{{- define "ooni-pipeline.secretName" -}}
{{- default (include "ooni-pipeline.fullname" .) .Values.credentials.existingSecret -}}
{{- end }}

{{/* URL of the embedded ClickHouse. */}}
{{- define "ooni-pipeline.embeddedClickHouseUrl" -}}
{{- printf "http://%s.%s.svc:8123/ooni" (include "ooni-pipeline.componentName" (dict "root" . "component" "clickhouse")) .Release.Namespace -}}
{{- end }}

{{/* Settings of a program of the pipeline: ConfigMap and Secret. */}}
{{- define "ooni-pipeline.envFrom" -}}
- configMapRef:
    name: {{ include "ooni-pipeline.fullname" . }}
- secretRef:
    name: {{ include "ooni-pipeline.secretName" . | quote }}
{{- end }}

{{/* host:port of the Temporal frontend, in each mode. */}}
{{- define "ooni-pipeline.temporalAddress" -}}
{{- if eq .Values.temporal.mode "external" -}}
{{- required "temporal.external.address is empty; set it to host:port of the Temporal frontend, or temporal.mode to embedded" .Values.temporal.external.address -}}
{{- else -}}
{{- printf "%s.%s.svc:7233" (include "ooni-pipeline.componentName" (dict "root" . "component" "temporal-frontend")) .Release.Namespace -}}
{{- end -}}
{{- end }}

{{- define "ooni-pipeline.temporalNamespace" -}}
{{- if eq .Values.temporal.mode "external" -}}
{{- .Values.temporal.external.namespace -}}
{{- else -}}
{{- .Values.temporal.namespace -}}
{{- end -}}
{{- end }}

{{/* Fails with field, value and remedy where the schema cannot: forms of values, and rules over more than one value. */}}
{{- define "ooni-pipeline.validate" -}}
{{- include "ooni-pipeline.validateForms" . -}}
{{- include "ooni-pipeline.validatePods" . -}}
{{- include "ooni-pipeline.validatePools" . -}}
{{- include "ooni-pipeline.validateModes" . -}}
{{- include "ooni-pipeline.validateCredentials" . -}}
{{- include "ooni-pipeline.validatePaths" . -}}
{{- include "ooni-pipeline.validatePorts" . -}}
{{- include "ooni-pipeline.validateExtraObjects" . -}}
{{- if and .Values.gitops .Values.credentials.values -}}
{{- fail "credentials.values is set, but gitops is true, so the credentials would be in Git; create a Secret and set credentials.existingSecret to its name" -}}
{{- end -}}
{{- if and .Values.credentials.existingSecret .Values.credentials.values -}}
{{- fail (printf "credentials.existingSecret is %q and credentials.values is set too; keep one of them" .Values.credentials.existingSecret) -}}
{{- end -}}
{{- if eq .Values.clickhouse.mode "embedded" -}}
{{- if .Values.gitops -}}
{{- fail "clickhouse.mode is embedded, but gitops is true; the embedded ClickHouse is for evaluation, so set clickhouse.mode to external, and credentials.existingSecret to a Secret with CLICKHOUSE_URL" -}}
{{- end -}}
{{- if or .Values.credentials.existingSecret (hasKey .Values.credentials.values "clickhouse_url") -}}
{{- fail "clickhouse.mode is embedded, but the credentials name a ClickHouse too; set clickhouse.mode to external, or remove credentials.existingSecret and credentials.values.clickhouse_url (other secrets can be in credentials.values)" -}}
{{- end -}}
{{- else if not (or .Values.credentials.existingSecret (hasKey .Values.credentials.values "clickhouse_url")) -}}
{{- fail "no ClickHouse is configured: set credentials.existingSecret to a Secret with CLICKHOUSE_URL, or for a first try credentials.values.clickhouse_url to http://user:password@host:8123/database, or clickhouse.mode to embedded" -}}
{{- end -}}
{{- if and (eq .Values.temporal.mode "external") (not .Values.temporal.external.address) -}}
{{- fail "temporal.mode is external, but temporal.external.address is empty; set it to host:port of the Temporal frontend" -}}
{{- end -}}
{{- if eq .Values.temporal.mode "production" -}}
{{- include "ooni-pipeline.temporal.validateProduction" . -}}
{{- end -}}
{{- end }}

{{/* Environment of operator and workers that is not secret: `settings` of the values, and what the chart knows about Temporal. */}}
{{- define "ooni-pipeline.settings" -}}
{{- range $key, $value := .Values.settings }}
{{ upper $key }}: {{ include "ooni-pipeline.settingValue" $value }}
{{- end }}
TEMPORAL_ADDRESS: {{ include "ooni-pipeline.temporalAddress" . | quote }}
TEMPORAL_NAMESPACE: {{ include "ooni-pipeline.temporalNamespace" . | quote }}
{{- with .Values.temporal.uiUrl }}
TEMPORAL_UI_URL: {{ . | quote }}
{{- end }}
{{- if .Values.jaeger.enabled }}
TELEMETRY_ENDPOINT: {{ printf "http://%s.%s.svc:4317" (include "ooni-pipeline.componentName" (dict "root" . "component" "jaeger")) .Release.Namespace | quote }}
{{- end }}
{{- with .Values.certificateAuthorities }}
{{- if .existingSecret }}
NODE_EXTRA_CA_CERTS: {{ printf "/etc/ooni-pipeline/certificate-authorities/%s" .key | quote }}
{{- end }}
{{- end }}
{{- with .Values.temporal.external }}
{{- if and (eq $.Values.temporal.mode "external") .tls.existingSecret }}
{{- with .tls.caKey }}
TEMPORAL_TLS_SERVER_CA_PATH: {{ printf "/etc/ooni-pipeline/temporal-tls/%s" . | quote }}
{{- end }}
{{- with .tls.certKey }}
TEMPORAL_TLS_CLIENT_CERT_PATH: {{ printf "/etc/ooni-pipeline/temporal-tls/%s" . | quote }}
{{- end }}
{{- with .tls.keyKey }}
TEMPORAL_TLS_CLIENT_KEY_PATH: {{ printf "/etc/ooni-pipeline/temporal-tls/%s" . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* A setting as the text of an environment variable. Helm reads numbers of values as float64, which print large integers with an exponent. */}}
{{- define "ooni-pipeline.settingValue" -}}
{{- if kindIs "slice" . -}}
{{- join "," . | quote -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . | toString | quote -}}
{{- else -}}
{{- toString . | quote -}}
{{- end -}}
{{- end }}

{{/* Namespaces that the operator watches, separated by commas, with that of the release; empty: all. */}}
{{- define "ooni-pipeline.watchNamespaces" -}}
{{- with .Values.operator.watchNamespaces -}}
{{- append . $.Release.Namespace | uniq | join "," -}}
{{- end -}}
{{- end }}

{{/* Changes with every value that is in the environment of operator and workers. */}}
{{- define "ooni-pipeline.settingsChecksum" -}}
{{- printf "%s%s%s%s" (include "ooni-pipeline.settings" .) .Values.clickhouse.mode (toJson .Values.credentials) (toJson .Values.temporal.external) | sha256sum | trunc 16 -}}
{{- end }}

{{/* The PEM files of operator and workers: for TLS to an external Temporal, and of private authorities. */}}
{{- define "ooni-pipeline.certificateVolumes" -}}
{{- range $name, $secret := include "ooni-pipeline.certificateSecrets" . | fromYaml }}
- name: {{ $name }}
  secret:
    secretName: {{ $secret | quote }}
{{- end }}
{{- end }}

{{- define "ooni-pipeline.certificateVolumeMounts" -}}
{{- range $name, $_ := include "ooni-pipeline.certificateSecrets" . | fromYaml }}
- name: {{ $name }}
  mountPath: /etc/ooni-pipeline/{{ $name }}
  readOnly: true
{{- end }}
{{- end }}

{{/* Secrets with PEM files, by the name of the volume and of its folder. */}}
{{- define "ooni-pipeline.certificateSecrets" -}}
{{- if and (eq .Values.temporal.mode "external") .Values.temporal.external.tls.existingSecret }}
temporal-tls: {{ .Values.temporal.external.tls.existingSecret | quote }}
{{- end }}
{{- with .Values.certificateAuthorities.existingSecret }}
certificate-authorities: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Egress rules of operator, workers and Superset: DNS, and servers at any address. */}}
{{- define "ooni-pipeline.egressBasics" -}}
- ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }]
{{- /* A rule without ports would allow all of them. */}}
{{- if .Values.networkPolicy.egressPorts }}
# ClickHouse, the archive and reference data.
- ports:
    {{- range .Values.networkPolicy.egressPorts }}
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
{{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Egress rule of operator and workers to Temporal. */}}
{{- define "ooni-pipeline.egressTemporal" -}}
- ports: [{ port: {{ include "ooni-pipeline.temporalAddress" . | splitList ":" | last }}, protocol: TCP }]
{{- end }}

{{/* Egress rule of operator and workers to Jaeger. */}}
{{- define "ooni-pipeline.egressJaeger" -}}
{{- if .Values.jaeger.enabled -}}
- ports: [{ port: 4317, protocol: TCP }]
{{- end }}
{{- end }}
