{{/*
Checks of single values whose form is a pattern. They are not in values.schema.json: Helm's message about a pattern has no remedy, and it contains
the value, which may be a secret. ooni-pipeline.validate includes them.
*/}}

{{/* dict "root" $ "path" "a.b" "form" PATTERN "remedy" TEXT "secret" BOOL: fails unless the value is empty or has the form. */}}
{{- define "ooni-pipeline.checkForm" -}}
{{- $value := .root.Values -}}
{{- range splitList "." .path -}}
{{- if kindIs "map" $value -}}{{- $value = get $value . -}}{{- else -}}{{- $value = "" -}}{{- end -}}
{{- end -}}
{{- include "ooni-pipeline.checkText" (dict "path" .path "value" $value "form" .form "remedy" .remedy "secret" .secret) -}}
{{- end }}

{{/* dict "path" "a.b" "value" VALUE "form" PATTERN "remedy" TEXT "secret" BOOL */}}
{{- define "ooni-pipeline.checkText" -}}
{{- $text := ternary "" (toString .value) (kindIs "invalid" .value) -}}
{{- if and $text (not (regexMatch .form $text)) -}}
{{- if .secret -}}
{{- fail (printf "%s does not have the required form (its value may be secret and is not shown); %s" .path .remedy) -}}
{{- else -}}
{{- fail (printf "%s is %q; %s" .path (regexReplaceAll "//[^/@]*@" $text "//***@") .remedy) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ooni-pipeline.validateForms" -}}
{{- range $path := include "ooni-pipeline.required" . | fromJsonArray -}}
{{- $value := $.Values -}}
{{- range $key := splitList "." $path -}}{{- $value = ternary (get $value $key) nil (hasKey $value $key) -}}{{- end -}}
{{- if kindIs "invalid" $value -}}
{{- fail (printf "%s has no value (null); remove the key, so that its default applies (after an upgrade of the chart: --reset-then-reuse-values in place of --reuse-values)" $path) -}}
{{- end -}}
{{- end -}}
{{- $name := "set it to a name of lower-case letters, digits and hyphens that begins with a letter" -}}
{{- $object := "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" -}}
{{- $secret := "set it to the name of an existing Secret: lower-case letters, digits, hyphens and dots" -}}
{{- $claim := "set it to the name of an existing PersistentVolumeClaim: lower-case letters, digits, hyphens and dots" -}}
{{- $host := "set it to a host name or an address, without scheme and port; the port is a value beside it" -}}
{{- $database := "set it to a name of letters, digits, hyphens and underscores that does not begin with a digit" -}}
{{- $key := "set it to a key of the Secret: letters, digits, hyphens, underscores and dots" -}}
{{- $source := "set it to a URL such as https://example.org/file, to the absolute path of a file that is mounted into the workers, or to none" -}}
{{- /* 1 to 65535. */ -}}
{{- $port := "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])" -}}
{{- $address := "(\\[[0-9A-Fa-f:.]+\\]|[^/:\\s\\[\\]]+)" -}}
{{- $url := printf "^https?://([^/@\\s]*@)?%s(:%s)?([/?#]\\S*)?$" $address $port -}}
{{- $registry := "set it to a host, with a port and a path where needed, such as registry.example.org:5000/mirror, without a scheme and a final slash; a port is at most 65535" -}}
{{- $registryForm := printf "^[A-Za-z0-9.-]+(:%s)?(/[a-z0-9._-]+)*$" $port -}}
{{- $rules := list
  (list "fullnameOverride" "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$" $name)
  (list "nameOverride" "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$" $name)
  (list "global.imageRegistry" $registryForm $registry)
  (list "settings.installation" "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$" "set it to at most 40 lower-case letters, digits and hyphens")
  (list "settings.archive_url" "^(s3://[A-Za-z0-9][A-Za-z0-9._-]+(/\\S*)?|/.*)$" "set it to s3://bucket or s3://bucket/prefix, or to the absolute path of a directory that is mounted into the workers")
  (list "settings.archive_legacy_url" "^(s3://[A-Za-z0-9][A-Za-z0-9._-]+(/\\S*)?|/.*)$" "set it to s3://bucket, to the absolute path of a directory that is mounted into the workers, or to an empty string")
  (list "settings.archive_endpoint" $url "set it to a URL such as https://minio.example.org:9000, with a port of at most 65535, or to an empty string for Amazon")
  (list "settings.archive_region" "^\\S+$" "set it to the name of a region, such as eu-central-1")
  (list "settings.clickhouse_cluster" "^[A-Za-z0-9_.-]+$" "set it to the name of a cluster in the configuration of ClickHouse, or to an empty string for one server")
  (list "settings.geoip_dir" "^/" "set it to the absolute path of a directory that is mounted into the workers, such as /var/lib/ooni/geoip, or to an empty string")
  (list "settings.fingerprints_dns_source" (printf "%s|^/|^none$" $url) $source)
  (list "settings.fingerprints_http_source" (printf "%s|^/|^none$" $url) $source)
  (list "settings.test_lists_source" (printf "%s|^/|^none$" $url) $source)
  (list "settings.as_organisations_source" (printf "%s|^/|^none$" $url) $source)
  (list "settings.telemetry_endpoint" $url "set it to a URL such as http://collector:4317, with a port of at most 65535, or to an empty string")
  (list "settings.prometheus_bind_address" (printf "^%s:%s$" $address $port) "set it to host:port with a port of at most 65535, such as 0.0.0.0:9464, or to an empty string")
  (list "temporal.namespace" "^\\S+$" "set it to the name of a namespace in Temporal, without spaces")
  (list "temporal.external.namespace" "^\\S+$" "set it to the name of a namespace in Temporal, without spaces")
  (list "temporal.uiUrl" $url "set it to a URL such as https://temporal.example.org, with a port of at most 65535, or to an empty string")
  (list "temporal.external.address" (printf "^%s:%s$" $address $port) "set it to host:port of the Temporal frontend without a scheme, such as temporal.example.org:7233; a port is at most 65535")
  (list "temporal.production.retention" "^[1-9][0-9]*(h|d)$" "set it to a number of hours or days, such as 720h or 30d")
  (list "temporal.production.postgresql.host" (printf "^%s$" $address) $host)
  (list "temporal.production.postgresql.database" "^[A-Za-z_][A-Za-z0-9_-]{0,62}$" $database)
  (list "temporal.production.postgresql.visibilityDatabase" "^[A-Za-z_][A-Za-z0-9_-]{0,62}$" $database)
  (list "temporal.production.elasticsearch.host" (printf "^%s$" $address) $host)
  (list "temporal.production.elasticsearch.index" "^[a-z0-9][a-z0-9_.-]*$" "set it to a name of lower-case letters, digits, dots, hyphens and underscores")
  (list "monitoring.serviceMonitor.interval" "^([0-9]+(ms|s|m|h|d))+$" "set it to a duration of Prometheus, such as 30s or 1m")
-}}
{{- range $path := list "clickhouse.embedded" "temporal.embedded" "superset" -}}
{{- $rules = append $rules (list (printf "%s.persistence.size" $path) "^(0*[1-9][0-9]*([.][0-9]+)?|0*[.]0*[1-9][0-9]*)(k|[MGTPE]|[KMGTPE]i)?$" "set it to a quantity of Kubernetes above zero, such as 20Gi") -}}
{{- $rules = append $rules (list (printf "%s.persistence.storageClass" $path) $object "set it to the name of a StorageClass: lower-case letters, digits, hyphens and dots; an empty string is the default of the cluster") -}}
{{- $rules = append $rules (list (printf "%s.persistence.existingClaim" $path) $object $claim) -}}
{{- end -}}
{{- range $path := list "image" "clickhouse.embedded.image" "temporal.embedded.image" "temporal.production.image" "temporal.production.adminTools.image" "temporal.production.ui.image" "superset.image" "jaeger.image" -}}
{{- $rules = append $rules (list (printf "%s.registry" $path) $registryForm $registry) -}}
{{- $rules = append $rules (list (printf "%s.repository" $path) "^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*$" (printf "set it to the name of the image in its registry, and set its tag in %s.tag" $path)) -}}
{{- $rules = append $rules (list (printf "%s.tag" $path) "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" (printf "set it to a tag, such as 0.1.0; a digest belongs in %s.digest" $path)) -}}
{{- $rules = append $rules (list (printf "%s.digest" $path) "^sha256:[0-9a-f]{64}$" "set it to sha256: and 64 hexadecimal digits, or to an empty string") -}}
{{- end -}}
{{- range $path := list "temporal.external.tls.caKey" "temporal.external.tls.certKey" "temporal.external.tls.keyKey" "temporal.production.postgresql.passwordKey" "temporal.production.postgresql.tls.caKey" "temporal.production.elasticsearch.passwordKey" "temporal.production.elasticsearch.caKey" "superset.clickhouse.key" -}}
{{- $rules = append $rules (list $path "^[A-Za-z0-9._-]+$" $key) -}}
{{- end -}}
{{- range $rules -}}
{{- include "ooni-pipeline.checkForm" (dict "root" $ "path" (index . 0) "form" (index . 1) "remedy" (index . 2) "secret" false) -}}
{{- end -}}
{{- $prefix := include "ooni-pipeline.fullname" . -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $prefix) -}}
{{- fail (printf "the name of the release, %q, gives the objects the prefix %q, which is not one of Services; set fullnameOverride to a name of lower-case letters, digits and hyphens that begins with a letter" .Release.Name $prefix) -}}
{{- end -}}
{{- range list
  (list "credentials.values.clickhouse_url" (printf "^(https?|clickhouses?)://([^/@\\s]*@)?%s(:%s)?(/+[^/@?#\\s]*/*)?(\\?[^@\\s]*)?$" $address $port) "set it to http://user:password@host:8123/database (or https, clickhouse, clickhouses), with a port of at most 65535; within a password write / as %2F, ? as %3F, # as %23 and @ as %40")
  (list "superset.credentials.values.secretKey" "^.{32,}$" "set it to at least 32 random characters, for example those of `openssl rand -base64 42`")
  (list "superset.credentials.values.metadataUrl" (printf "^postgresql([+]psycopg2)?://([^/@\\s]*@)?%s(:%s)?/\\S+$" $address $port) "set it to postgresql+psycopg2://user:password@host/database, with a port of at most 65535; within a password write / as %2F and @ as %40")
-}}
{{- include "ooni-pipeline.checkForm" (dict "root" $ "path" (index . 0) "form" (index . 1) "remedy" (index . 2) "secret" true) -}}
{{- end -}}
{{- /* A person may write the password or the URL itself in place of the name. */ -}}
{{- range $path := list "credentials.existingSecret" "superset.credentials.existingSecret" "superset.clickhouse.existingSecret" "temporal.external.tls.existingSecret" "temporal.production.postgresql.existingSecret" "temporal.production.postgresql.tls.caSecret" "temporal.production.elasticsearch.existingSecret" "temporal.production.elasticsearch.caSecret" -}}
{{- include "ooni-pipeline.checkForm" (dict "root" $ "path" $path "form" $object "remedy" $secret "secret" true) -}}
{{- end -}}
{{- range $index, $namespace := .Values.operator.watchNamespaces -}}
{{- include "ooni-pipeline.checkText" (dict "path" (printf "operator.watchNamespaces[%d]" $index) "value" $namespace "form" "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" "remedy" "set it to the name of a namespace: at most 63 lower-case letters, digits and hyphens" "secret" false) -}}
{{- if has $namespace (slice $.Values.operator.watchNamespaces 0 $index) -}}
{{- fail (printf "operator.watchNamespaces names %q twice; remove one of them" $namespace) -}}
{{- end -}}
{{- end -}}
{{- range $index, $secret := .Values.global.imagePullSecrets -}}
{{- include "ooni-pipeline.checkText" (dict "path" (printf "global.imagePullSecrets[%d]" $index) "value" (ternary $secret (dig "name" "" (ternary $secret (dict) (kindIs "map" $secret))) (kindIs "string" $secret)) "form" $object "remedy" "set it to the name of a Secret of the type kubernetes.io/dockerconfigjson" "secret" false) -}}
{{- end -}}
{{- end }}

{{/* Pods of the chart: dict of the path of their values to the values. */}}
{{- define "ooni-pipeline.validatePods" -}}
{{- $production := .Values.temporal.production -}}
{{- $all := dict "operator" .Values.operator "clickhouse.embedded" .Values.clickhouse.embedded "temporal.embedded" .Values.temporal.embedded "superset" .Values.superset "jaeger" .Values.jaeger -}}
{{- range $service := list "frontend" "history" "matching" "worker" "ui" "schema" -}}
{{- $_ := set $all (printf "temporal.production.%s" $service) (get (default (dict) $production) $service) -}}
{{- end -}}
{{- range $path, $values := $all -}}
{{- with $values -}}
{{- include "ooni-pipeline.checkResources" (dict "path" (printf "%s.resources" $path) "resources" .resources) -}}
{{- include "ooni-pipeline.checkPlace" (dict "path" $path "values" .) -}}
{{- include "ooni-pipeline.checkLabels" (dict "path" (printf "%s.podLabels" $path) "labels" .podLabels "own" true) -}}
{{- include "ooni-pipeline.checkLabels" (dict "path" (printf "%s.podAnnotations" $path) "labels" .podAnnotations "annotations" true) -}}
{{- end -}}
{{- end -}}
{{- include "ooni-pipeline.checkEnv" (dict "path" "operator.extraEnv" "env" .Values.operator.extraEnv "own" "^(MALLOC_ARENA_MAX|POD_NAME|POD_IP|OPERATOR_(HEALTH_ADDRESS|LEASE_NAMESPACE|DEFAULT_POOLS|NAMESPACES|CLAIMS_UNLABELLED|MIGRATES)|WORKER_(IMAGE|CONFIG_MAP|SECRET))$") -}}
{{- include "ooni-pipeline.checkEnv" (dict "path" "superset.extraEnv" "env" (default (dict) .Values.superset).extraEnv "own" "^(HOME|CLICKHOUSE_URL|SUPERSET_(PROVISION|TIME_RANGE|TIME_GRAIN|ADMIN_USERNAME|ADMIN_EMAIL|CACHE_SECONDS|TIMEOUT|PROXY_FIX|HTTPS|SECRET_KEY|ADMIN_PASSWORD|PREVIOUS_SECRET_KEY|METADATA_URL))$") -}}
{{- include "ooni-pipeline.checkLabels" (dict "path" "commonLabels" "labels" .Values.commonLabels "own" true) -}}
{{- include "ooni-pipeline.checkLabels" (dict "path" "crds.annotations" "labels" .Values.crds.annotations "annotations" true) -}}
{{- include "ooni-pipeline.checkLabels" (dict "path" "operator.serviceAccount.annotations" "labels" (default (dict) .Values.operator.serviceAccount).annotations "annotations" true) -}}
{{- range $name, $values := .Values.monitoring -}}
{{- with $values -}}
{{- include "ooni-pipeline.checkLabels" (dict "path" (printf "monitoring.%s.labels" $name) "labels" .labels "own" true) -}}
{{- include "ooni-pipeline.checkLabels" (dict "path" (printf "monitoring.%s.annotations" $name) "labels" .annotations "annotations" true) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
dict "path" "a.b" "labels" LABELS "annotations" BOOL "own" BOOL: labels, or annotations, whose values are free. With `own`, the keys that the chart
sets are errors: a selector would find no pods.
*/}}
{{- define "ooni-pipeline.checkLabels" -}}
{{- $args := . -}}
{{- range $key, $value := .labels -}}
{{- if not (regexMatch "^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$" $key) -}}
{{- fail (printf "%s has the key %q; change it to at most 63 letters, digits, hyphens, underscores and dots, which begin and end with a letter or digit, behind a domain and a slash where needed" $args.path $key) -}}
{{- end -}}
{{- if and $args.own (regexMatch "^(app[.]kubernetes[.]io/(name|instance|component|part-of|managed-by|version)|helm[.]sh/chart)$" $key) -}}
{{- fail (printf "%s has the key %q, which the chart sets itself; remove it, or use another key" $args.path $key) -}}
{{- end -}}
{{- if not $args.annotations -}}
{{- include "ooni-pipeline.checkText" (dict "path" (printf "%s[%q]" $args.path $key) "value" $value "form" "^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$" "remedy" "set it to at most 63 letters, digits, hyphens, underscores and dots, which begin and end with a letter or digit" "secret" false) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* dict "path" "a.b" "values" VALUES: priority class, node selector and tolerations of pods. */}}
{{- define "ooni-pipeline.checkPlace" -}}
{{- $path := .path -}}
{{- include "ooni-pipeline.checkText" (dict "path" (printf "%s.priorityClassName" $path) "value" .values.priorityClassName "form" "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" "remedy" "set it to the name of a PriorityClass: lower-case letters, digits, hyphens and dots" "secret" false) -}}
{{- include "ooni-pipeline.checkLabels" (dict "path" (printf "%s.nodeSelector" $path) "labels" .values.nodeSelector) -}}
{{- range $index, $toleration := .values.tolerations -}}
{{- $at := printf "%s.tolerations[%d]" $path $index -}}
{{- if and .value (eq (toString .operator) "Exists") -}}
{{- fail (printf "%s has the operator Exists and the value %q; remove the value, or set the operator to Equal" $at .value) -}}
{{- end -}}
{{- if and (not .key) (ne (toString .operator) "Exists") -}}
{{- fail (printf "%s has no key; set its key, or its operator to Exists to tolerate every taint" $at) -}}
{{- end -}}
{{- if and (not (kindIs "invalid" .tolerationSeconds)) (ne (toString .effect) "NoExecute") -}}
{{- fail (printf "%s has tolerationSeconds, which need the effect NoExecute; set the effect, or remove tolerationSeconds" $at) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* dict "path" "a.b" "env" LIST "own" PATTERN: environment variables beside those of the chart. */}}
{{- define "ooni-pipeline.checkEnv" -}}
{{- $args := . -}}
{{- $seen := list -}}
{{- range $index, $variable := .env -}}
{{- $path := printf "%s[%d]" $args.path $index -}}
{{- include "ooni-pipeline.checkText" (dict "path" (printf "%s.name" $path) "value" .name "form" "^[A-Za-z_][A-Za-z0-9_]*$" "remedy" "set it to letters, digits and underscores that do not begin with a digit" "secret" false) -}}
{{- if regexMatch $args.own .name -}}
{{- fail (printf "%s.name is %q, which the chart sets itself; remove it, and use the value of the chart for it" $path .name) -}}
{{- end -}}
{{- if has .name $seen -}}
{{- fail (printf "%s.name is %q, which is there twice; remove one of them" $path .name) -}}
{{- end -}}
{{- $seen = append $seen .name -}}
{{- end -}}
{{- end }}

{{/*
dict "path" "a.resources" "resources" RESOURCES: names and quantities of requests and limits. The API server rejects a wrong one without the name of
the value.
*/}}
{{- define "ooni-pipeline.checkResources" -}}
{{- $path := .path -}}
{{- $resources := default (dict) .resources -}}
{{- range $kind := list "requests" "limits" -}}
{{- range $resource, $quantity := get $resources $kind | default (dict) -}}
{{- $at := printf "%s.%s.%s" $path $kind $resource -}}
{{- if not (regexMatch "^(cpu|memory|ephemeral-storage|hugepages-[0-9]+[KMG]i|[a-z0-9.-]+/[A-Za-z0-9._-]+)$" $resource) -}}
{{- fail (printf "%s is not a resource of containers; use cpu, memory, ephemeral-storage, or the name of an extended resource such as nvidia.com/gpu" $at) -}}
{{- end -}}
{{- include "ooni-pipeline.checkQuantity" (dict "path" $at "value" $quantity) -}}
{{- if and (ne $resource "cpu") (hasSuffix "m" (toString $quantity)) -}}
{{- fail (printf "%s is %q, thousandths of a byte; set it to a quantity such as %si" $at $quantity (trimSuffix "m" $quantity | printf "%sM")) -}}
{{- end -}}
{{- if eq $kind "limits" -}}
{{- $request := get (default (dict) $resources.requests) $resource -}}
{{- if and (not (kindIs "invalid" $request)) (not (kindIs "invalid" $quantity)) (gt (include "ooni-pipeline.number" $request | float64) (include "ooni-pipeline.number" $quantity | float64)) -}}
{{- fail (printf "%s is %v, but the request is %v; set the limit to %v or more, or %s.requests.%s to a smaller quantity" $at $quantity $request $request $path $resource) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The number of a quantity of Kubernetes, such as 536870912 of 512Mi. */}}
{{- define "ooni-pipeline.number" -}}
{{- $text := toString . -}}
{{- $unit := regexFind "([numkMGTPE]|[KMGTPE]i)$" $text -}}
{{- $units := dict "n" 1e-9 "u" 1e-6 "m" 1e-3 "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- printf "%f" (mulf (trimSuffix $unit $text | float64) (get $units $unit)) -}}
{{- end }}

{{/* Rules of WorkerPools that the schema does not have. The operator could only log that the API server rejects such a pool. */}}
{{- define "ooni-pipeline.validatePools" -}}
{{- include "ooni-pipeline.validateTemplate" (dict "path" "workers.template" "template" .Values.workers.template) -}}
{{- $served := list -}}
{{- range $name, $spec := .Values.workers.pools -}}
{{- $path := printf "workers.pools.%s" $name -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$" $name) -}}
{{- fail (printf "%s is the name of a pool; change it to at most 50 lower-case letters, digits and hyphens" $path) -}}
{{- end -}}
{{- with $spec -}}
{{- $served = concat $served (default (list "Workflows" "Activities") .tasks) -}}
{{- $scaling := .autoscaling -}}
{{- if and $scaling (not (kindIs "invalid" .replicas)) -}}
{{- fail (printf "%s has replicas and autoscaling; for a fixed number of pods set %s.autoscaling to null, otherwise remove replicas and set %s.autoscaling.minReplicas and maxReplicas" $path $path $path) -}}
{{- end -}}
{{- if ne (len (default (list) .tasks)) (len (uniq (default (list) .tasks))) -}}
{{- fail (printf "%s.tasks names a kind of task twice; remove one of them" $path) -}}
{{- end -}}
{{- include "ooni-pipeline.validateTemplate" (dict "path" (printf "%s.template" $path) "template" .template) -}}
{{- include "ooni-pipeline.checkDuration" (dict "path" (printf "%s.drainTimeout" $path) "value" .drainTimeout "least" 1) -}}
{{- with $scaling -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "%s.autoscaling.minReplicas is %d, but maxReplicas is %d; set maxReplicas to %d or more, or minReplicas to a smaller number" $path (int .minReplicas) (int .maxReplicas) (int .minReplicas)) -}}
{{- end -}}
{{- include "ooni-pipeline.checkDuration" (dict "path" (printf "%s.autoscaling.drainWithin" $path) "value" .drainWithin "least" 10) -}}
{{- include "ooni-pipeline.checkDuration" (dict "path" (printf "%s.autoscaling.cooldown" $path) "value" .cooldown "least" 0) -}}
{{- range $direction := list "scaleUp" "scaleDown" -}}
{{- include "ooni-pipeline.checkDuration" (dict "path" (printf "%s.autoscaling.%s.stabilization" $path $direction) "value" (default (dict) (get $scaling $direction)).stabilization "least" 0) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $served -}}
{{- range $task := list "Workflows" "Activities" -}}
{{- if not (has $task $served) -}}
{{- fail (printf "workers.pools has no pool that takes %s, so no work would end; add %s to the tasks of one of them, or set all pools to null if you create WorkerPools yourself" $task $task) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* dict "path" "a.b" "value" VALUE "least" SECONDS: a duration of WorkerPools, of at most a day. */}}
{{- define "ooni-pipeline.checkDuration" -}}
{{- if not (kindIs "invalid" .value) -}}
{{- $seconds := 0 -}}
{{- range $unit, $length := dict "h" 3600 "m" 60 "s" 1 -}}
{{- $seconds = add $seconds (mul $length (regexFind (printf "[0-9]+%s" $unit) $.value | trimSuffix $unit | int64)) -}}
{{- end -}}
{{- if or (not (regexMatch "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$" .value)) (not .value) (lt (int64 $seconds) (int64 .least)) (gt (int64 $seconds) 86400) -}}
{{- fail (printf "%s is %q; set it to a duration such as 90s, 10m or 1h30m, from %ds to 24h" .path .value (int .least)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* dict "path" "a.b" "template" TEMPLATE: a pod template that is merged over that of the workers. */}}
{{- define "ooni-pipeline.validateTemplate" -}}
{{- $root := .path -}}
{{- $spec := default (dict) (default (dict) .template).spec -}}
{{- $metadata := default (dict) (default (dict) .template).metadata -}}
{{- include "ooni-pipeline.checkLabels" (dict "path" (printf "%s.metadata.labels" $root) "labels" $metadata.labels) -}}
{{- include "ooni-pipeline.checkLabels" (dict "path" (printf "%s.metadata.annotations" $root) "labels" $metadata.annotations "annotations" true) -}}
{{- include "ooni-pipeline.checkPlace" (dict "path" (printf "%s.spec" $root) "values" $spec) -}}
{{- range $list := list "containers" "initContainers" "volumes" -}}
{{- range $index, $item := default (list) (get $spec $list) -}}
{{- $path := printf "%s.spec.%s[%d]" $root $list $index -}}
{{- if not $item.name -}}
{{- fail (printf "%s has no name; set its name, which for the container of the worker is worker" $path) -}}
{{- end -}}
{{- if and (eq $list "containers") (ne $item.name "worker") (not $item.image) -}}
{{- fail (printf "%s has the name %q and no image; set its name to worker to change the container of the worker, or set its image" $path $item.name) -}}
{{- end -}}
{{- include "ooni-pipeline.checkResources" (dict "path" (printf "%s.resources" $path) "resources" $item.resources) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* dict "path" "a.b" "value" VALUE */}}
{{- define "ooni-pipeline.checkQuantity" -}}
{{- include "ooni-pipeline.checkText" (dict "path" .path "value" .value "form" "^([0-9]+([.][0-9]*)?|[.][0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$" "remedy" "set it to a quantity of Kubernetes, such as 500m, 2 or 1Gi" "secret" false) -}}
{{- end }}

{{/* Values of a mode that is not the chosen one: the release would use another server than they name. */}}
{{- define "ooni-pipeline.validateModes" -}}
{{- $mode := .Values.temporal.mode -}}
{{- range list
  (list "external" "temporal.external.address" (dig "external" "address" "" .Values.temporal))
  (list "external" "temporal.external.tls.existingSecret" (dig "external" "tls" "existingSecret" "" .Values.temporal))
  (list "production" "temporal.production.postgresql.host" (dig "production" "postgresql" "host" "" .Values.temporal))
-}}
{{- if and (index . 2) (ne $mode (index . 0)) -}}
{{- fail (printf "%s is %q, but temporal.mode is %s, which does not use it; set temporal.mode to %s, or %s to an empty string" (index . 1) (index . 2) $mode (index . 0) (index . 1)) -}}
{{- end -}}
{{- end -}}
{{- $unused := ternary "temporal.namespace" "temporal.external.namespace" (eq $mode "external") -}}
{{- $used := ternary "temporal.external.namespace" "temporal.namespace" (eq $mode "external") -}}
{{- $namespace := ternary .Values.temporal.namespace (dig "external" "namespace" "" .Values.temporal) (eq $mode "external") -}}
{{- if not (has $namespace (list "" "default")) -}}
{{- fail (printf "%s is %q, but temporal.mode is %s, which does not use it; set %s instead, and %s to default" $unused $namespace $mode $used $unused) -}}
{{- end -}}
{{- $elasticsearch := dig "production" "elasticsearch" (dict) .Values.temporal -}}
{{- if and $elasticsearch.host (not $elasticsearch.enabled) -}}
{{- fail (printf "temporal.production.elasticsearch.host is %q, but temporal.production.elasticsearch.enabled is false; set enabled to true, or host to an empty string" $elasticsearch.host) -}}
{{- end -}}
{{- $tls := dig "external" "tls" (dict) .Values.temporal -}}
{{- if and $tls.existingSecret (ne (empty $tls.certKey) (empty $tls.keyKey)) -}}
{{- fail (printf "temporal.external.tls.certKey is %q and keyKey is %q; set both to keys of the Secret, or both to empty strings for no client certificate" $tls.certKey $tls.keyKey) -}}
{{- end -}}
{{- $tls := dig "production" "postgresql" "tls" (dict) .Values.temporal -}}
{{- if and $tls.caSecret (not $tls.enabled) -}}
{{- fail (printf "temporal.production.postgresql.tls.caSecret is %q, but tls.enabled is false, so that the connection would not be encrypted; set tls.enabled to true, or caSecret to an empty string" $tls.caSecret) -}}
{{- end -}}
{{- $superset := default (dict) .Values.superset -}}
{{- if and (dig "credentials" "values" "metadataUrl" "" $superset) (ne $superset.metadata "postgresql") -}}
{{- fail "superset.credentials.values.metadataUrl is set, but superset.metadata is sqlite, which does not use it; set superset.metadata to postgresql, or metadataUrl to an empty string" -}}
{{- end -}}
{{- $values := dig "credentials" "values" (dict) $superset -}}
{{- if and (dig "credentials" "existingSecret" "" $superset) (or $values.secretKey $values.adminPassword $values.metadataUrl) -}}
{{- fail "superset.credentials.existingSecret is set, so superset.credentials.values have no effect; keep one of them" -}}
{{- end -}}
{{- end }}

{{/* Credentials that are there in part, or that the chosen Temporal does not take. */}}
{{- define "ooni-pipeline.validateCredentials" -}}
{{- $values := .Values.credentials.values -}}
{{- with regexFind "[?&](user|username|password|database|secure)=" (toString $values.clickhouse_url) -}}
{{- fail (printf "credentials.values.clickhouse_url has the parameter %s, which is not read; write clickhouses://user:password@host:8443/database, or http:// without TLS" (substr 1 -1 . | trimSuffix "=")) -}}
{{- end -}}
{{- if ne (empty $values.archive_access_key_id) (empty $values.archive_secret_access_key) -}}
{{- fail (printf "credentials.values.%s is empty, but the other part of the key is set; set both archive_access_key_id and archive_secret_access_key, or none for unsigned requests" (ternary "archive_access_key_id" "archive_secret_access_key" (empty $values.archive_access_key_id))) -}}
{{- end -}}
{{- if and $values.temporal_api_key (ne .Values.temporal.mode "external") -}}
{{- fail (printf "credentials.values.temporal_api_key is set, which turns TLS on, but temporal.mode is %s, whose server has no TLS; set temporal.mode to external, or remove the key" .Values.temporal.mode) -}}
{{- end -}}
{{- end }}

{{/* Paths in the settings, which the workers of activities read: the image has none of them, and its root is read-only. */}}
{{- define "ooni-pipeline.validatePaths" -}}
{{- range $name, $spec := .Values.workers.pools -}}
{{- if and $spec (has "Activities" (default (list "Activities") $spec.tasks)) -}}
{{- $pod := (include "ooni-pipeline.pool" (dict "root" $ "spec" $spec) | fromYaml).template.spec -}}
{{- $mounts := list -}}
{{- range $container := $pod.containers -}}
{{- if eq $container.name "worker" -}}{{- $mounts = default (list) $container.volumeMounts -}}{{- end -}}
{{- end -}}
{{- $volumes := list "tmp" -}}
{{- range $pod.volumes -}}{{- $volumes = append $volumes .name -}}{{- end -}}
{{- range $mounts -}}
{{- if not (has .name $volumes) -}}
{{- fail (printf "the container worker of workers.pools.%s mounts the volume %q at %s, but its template has no such volume; add it to workers.template.spec.volumes" $name .name .mountPath) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "geoip_dir" "archive_url" "archive_legacy_url" "fingerprints_dns_source" "fingerprints_http_source" "test_lists_source" "as_organisations_source" -}}
{{- $path := get $.Values.settings $key | toString -}}
{{- if and (hasPrefix "/" $path) (not (hasPrefix "/app/" $path)) -}}
{{- $mounted := false -}}
{{- range $mounts -}}
{{- $folder := printf "%s/" (trimSuffix "/" .mountPath) -}}
{{- if or (hasPrefix $folder $path) (eq $folder (printf "%s/" (trimSuffix "/" $path))) -}}{{- $mounted = true -}}{{- end -}}
{{- end -}}
{{- if not $mounted -}}
{{- fail (printf "settings.%s is %q, but the container worker of workers.pools.%s mounts no volume there; add a volume to workers.template.spec.volumes and its mount to the container worker (docs/ip-metadata.md has an example), or use a path below /app/ for files of your own image" $key $path $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
Ports that operator, workers and Superset use must be open in the NetworkPolicies. The chart does not know a port in an existing Secret. With rules of
the user it checks nothing: they may open any port.
*/}}
{{- define "ooni-pipeline.validatePorts" -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.extraEgress) -}}
{{- $settings := .Values.settings -}}
{{- $needs := list -}}
{{- if eq .Values.clickhouse.mode "embedded" -}}
{{- $needs = append $needs (list "clickhouse.mode embedded" "http://clickhouse:8123") -}}
{{- end -}}
{{- with .Values.credentials.values.clickhouse_url -}}
{{- $needs = append $needs (list "credentials.values.clickhouse_url" (regexReplaceAll "^(clickhouse|http)(s?)://([^/@]*@)?" . "clickhouse${2}://")) -}}
{{- end -}}
{{- if not (hasPrefix "/" (toString $settings.archive_url)) -}}
{{- $needs = append $needs (list (ternary "settings.archive_endpoint" "settings.archive_url" (not (empty $settings.archive_endpoint))) (default "https://archive" $settings.archive_endpoint)) -}}
{{- end -}}
{{- with (default (dict) .Values.superset).credentials -}}
{{- with (default (dict) .values).metadataUrl -}}
{{- $needs = append $needs (list "superset.credentials.values.metadataUrl" (regexReplaceAll "^[^:]+://([^/@]*@)?" . "postgresql://")) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "fingerprints_dns_source" "fingerprints_http_source" "test_lists_source" "as_organisations_source" "telemetry_endpoint" -}}
{{- $value := default (ternary "" "https://default" (eq $key "telemetry_endpoint")) (get $settings $key) | toString -}}
{{- if regexMatch "^https?://" $value -}}
{{- $needs = append $needs (list (printf "settings.%s" $key) $value) -}}
{{- end -}}
{{- end -}}
{{- $open := list -}}
{{- range .Values.networkPolicy.egressPorts -}}{{- $open = append $open (int .) -}}{{- end -}}
{{- range $needs -}}
{{- $url := index . 1 -}}
{{- $written := regexFind "^[a-z]+://([^/@]*@)?(\\[[^]]*\\]|[^/:?#]+):[0-9]+" $url | regexFind "[0-9]+$" -}}
{{- $port := int (default (get (dict "http" "80" "https" "443" "clickhouse" "8123" "clickhouses" "8443" "postgresql" "5432") (regexFind "^[a-z]+" $url)) $written) -}}
{{- /* The policy of Superset has a rule for the standard port of PostgreSQL. */ -}}
{{- if not (or (has $port $open) (and (hasPrefix "postgresql:" $url) (eq $port 5432))) -}}
{{- fail (printf "%s needs port %d, which networkPolicy.egressPorts %v does not open; add %d to networkPolicy.egressPorts, or a rule to networkPolicy.extraEgress" (index . 0) $port $open $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Objects of the user must be objects of Kubernetes. Text is a template, which is evaluated first. */}}
{{- define "ooni-pipeline.validateExtraObjects" -}}
{{- range $index, $item := .Values.extraObjects -}}
{{- $object := $item -}}
{{- if kindIs "string" $item -}}
{{- $object = tpl $item $ | fromYaml -}}
{{- if $object.Error -}}
{{- fail (printf "extraObjects[%d] is not YAML (%s); correct it" $index $object.Error) -}}
{{- end -}}
{{- end -}}
{{- range $field, $value := dict "apiVersion" $object.apiVersion "kind" $object.kind "metadata.name" (default (dict) $object.metadata).name -}}
{{- if and $object (not $value) -}}
{{- fail (printf "extraObjects[%d] has no %s; set it: each item is a whole object of Kubernetes" $index $field) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
