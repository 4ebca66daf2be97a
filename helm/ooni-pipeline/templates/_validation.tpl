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
{{- fail (printf "%s is %q; %s" .path $text .remedy) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ooni-pipeline.validateForms" -}}
{{- range $section := list "global" "crds" "image" "credentials" "clickhouse" "operator" "rbac" "workers" "temporal" "jaeger" "monitoring" "networkPolicy" -}}
{{- if not (kindIs "map" (get $.Values $section)) -}}
{{- fail (printf "%s has no values (null); remove the key, so that its defaults apply" $section) -}}
{{- end -}}
{{- end -}}
{{- $name := "set it to a name of lower-case letters, digits and hyphens that begins with a letter" -}}
{{- $object := "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" -}}
{{- $secret := "set it to the name of an existing Secret: lower-case letters, digits, hyphens and dots" -}}
{{- $claim := "set it to the name of an existing PersistentVolumeClaim: lower-case letters, digits, hyphens and dots" -}}
{{- $host := "set it to a host name or an address, without scheme and port; the port is a value beside it" -}}
{{- $database := "set it to a name of letters, digits, hyphens and underscores that does not begin with a digit" -}}
{{- $registry := "set it to a host, with a port and a path where needed, such as registry.example.org:5000/mirror, without a scheme and a final slash" -}}
{{- $rules := list
  (list "fullnameOverride" "^[a-z]([a-z0-9-]*[a-z0-9])?$" $name)
  (list "nameOverride" "^[a-z]([a-z0-9-]*[a-z0-9])?$" $name)
  (list "global.imageRegistry" "^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*$" $registry)
  (list "settings.archive_url" "^(s3:/)?/" "set it to s3://bucket or s3://bucket/prefix, or to the absolute path of a directory that is mounted into the workers")
  (list "settings.archive_legacy_url" "^(s3:/)?/" "set it to s3://bucket, to the absolute path of a directory that is mounted into the workers, or to an empty string")
  (list "settings.archive_endpoint" "^https?://" "set it to a URL such as https://minio.example.org:9000, or to an empty string for Amazon")
  (list "temporal.uiUrl" "^https?://" "set it to a URL such as https://temporal.example.org, or to an empty string")
  (list "temporal.external.address" "^[^/:\\s]+:[0-9]+$" "set it to host:port of the Temporal frontend without a scheme, such as temporal.example.org:7233")
  (list "temporal.production.retention" "^[1-9][0-9]*(h|d)$" "set it to a number of hours or days, such as 720h or 30d")
  (list "temporal.production.postgresql.host" "^[^/:\\s]+$" $host)
  (list "temporal.production.postgresql.database" "^[A-Za-z_][A-Za-z0-9_-]{0,62}$" $database)
  (list "temporal.production.postgresql.visibilityDatabase" "^[A-Za-z_][A-Za-z0-9_-]{0,62}$" $database)
  (list "temporal.production.elasticsearch.host" "^[^/:\\s]+$" $host)
  (list "temporal.production.elasticsearch.index" "^[a-z0-9][a-z0-9_.-]*$" "set it to a name of lower-case letters, digits, dots, hyphens and underscores")
  (list "monitoring.serviceMonitor.interval" "^([0-9]+(ms|s|m|h|d))+$" "set it to a duration of Prometheus, such as 30s or 1m")
-}}
{{- range $path := list "clickhouse.embedded" "temporal.embedded" "superset" -}}
{{- $rules = append $rules (list (printf "%s.persistence.size" $path) "^[0-9]+([.][0-9]+)?(k|[MGTPE]|[KMGTPE]i)?$" "set it to a quantity of Kubernetes, such as 20Gi") -}}
{{- $rules = append $rules (list (printf "%s.persistence.existingClaim" $path) $object $claim) -}}
{{- end -}}
{{- range $path := list "image" "clickhouse.embedded.image" "temporal.embedded.image" "temporal.production.image" "temporal.production.adminTools.image" "temporal.production.ui.image" "superset.image" "jaeger.image" -}}
{{- $rules = append $rules (list (printf "%s.registry" $path) "^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*$" $registry) -}}
{{- $rules = append $rules (list (printf "%s.repository" $path) "^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*$" (printf "set it to the name of the image in its registry, and set its tag in %s.tag" $path)) -}}
{{- $rules = append $rules (list (printf "%s.tag" $path) "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" (printf "set it to a tag, such as 0.1.0; a digest belongs in %s.digest" $path)) -}}
{{- $rules = append $rules (list (printf "%s.digest" $path) "^sha256:[0-9a-f]{64}$" "set it to sha256: and 64 hexadecimal digits, or to an empty string") -}}
{{- end -}}
{{- range $rules -}}
{{- include "ooni-pipeline.checkForm" (dict "root" $ "path" (index . 0) "form" (index . 1) "remedy" (index . 2) "secret" false) -}}
{{- end -}}
{{- range list
  (list "credentials.values.clickhouse_url" "^(https?|clickhouses?)://[^/\\s]" "set it to http://user:password@host:8123/database (or https, clickhouse, clickhouses)")
  (list "superset.credentials.values.secretKey" "^.{32,}$" "set it to at least 32 random characters, for example those of `openssl rand -base64 42`")
  (list "superset.credentials.values.metadataUrl" "^postgresql([+]psycopg2)?://." "set it to postgresql+psycopg2://user:password@host/database")
-}}
{{- include "ooni-pipeline.checkForm" (dict "root" $ "path" (index . 0) "form" (index . 1) "remedy" (index . 2) "secret" true) -}}
{{- end -}}
{{- /* A person may write the password or the URL itself in place of the name. */ -}}
{{- range $path := list "credentials.existingSecret" "superset.credentials.existingSecret" "superset.clickhouse.existingSecret" "temporal.external.tls.existingSecret" "temporal.production.postgresql.existingSecret" "temporal.production.postgresql.tls.caSecret" "temporal.production.elasticsearch.existingSecret" "temporal.production.elasticsearch.caSecret" -}}
{{- include "ooni-pipeline.checkForm" (dict "root" $ "path" $path "form" $object "remedy" $secret "secret" true) -}}
{{- end -}}
{{- range $index, $namespace := .Values.operator.watchNamespaces -}}
{{- include "ooni-pipeline.checkText" (dict "path" (printf "operator.watchNamespaces[%d]" $index) "value" $namespace "form" "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" "remedy" "set it to the name of a namespace: lower-case letters, digits and hyphens" "secret" false) -}}
{{- end -}}
{{- end }}

{{/* Requests and limits of the containers. The API server rejects a wrong quantity without the name of the value. */}}
{{- define "ooni-pipeline.validateResources" -}}
{{- $production := .Values.temporal.production -}}
{{- $all := dict "operator" .Values.operator "clickhouse.embedded" .Values.clickhouse.embedded "temporal.embedded" .Values.temporal.embedded "superset" .Values.superset "jaeger" .Values.jaeger -}}
{{- range $service := list "frontend" "history" "matching" "worker" "ui" "schema" -}}
{{- $_ := set $all (printf "temporal.production.%s" $service) (get $production $service) -}}
{{- end -}}
{{- range $path, $values := $all -}}
{{- range $kind := list "requests" "limits" -}}
{{- range $resource, $quantity := dig $kind (dict) (default (dict) (default (dict) $values).resources) -}}
{{- include "ooni-pipeline.checkQuantity" (dict "path" (printf "%s.resources.%s.%s" $path $kind $resource) "value" $quantity) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Rules of WorkerPools that the schema does not have. The operator could only log that the API server rejects such a pool. */}}
{{- define "ooni-pipeline.validatePools" -}}
{{- include "ooni-pipeline.validateTemplate" (dict "path" "workers.template" "template" .Values.workers.template) -}}
{{- $duration := "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$" -}}
{{- range $name, $spec := .Values.workers.pools -}}
{{- $path := printf "workers.pools.%s" $name -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$" $name) -}}
{{- fail (printf "%s is the name of a pool; change it to at most 50 lower-case letters, digits and hyphens" $path) -}}
{{- end -}}
{{- with $spec -}}
{{- $scaling := .autoscaling -}}
{{- if and $scaling (not (kindIs "invalid" .replicas)) -}}
{{- fail (printf "%s has replicas and autoscaling; for a fixed number of pods set %s.autoscaling to null, otherwise remove replicas and set %s.autoscaling.minReplicas and maxReplicas" $path $path $path) -}}
{{- end -}}
{{- if ne (len (default (list) .tasks)) (len (uniq (default (list) .tasks))) -}}
{{- fail (printf "%s.tasks names a kind of task twice; remove one of them" $path) -}}
{{- end -}}
{{- include "ooni-pipeline.validateTemplate" (dict "path" (printf "%s.template" $path) "template" .template) -}}
{{- $durations := dict "drainTimeout" .drainTimeout -}}
{{- with $scaling -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "%s.autoscaling.minReplicas is %d, but maxReplicas is %d; set maxReplicas to %d or more, or minReplicas to a smaller number" $path (int .minReplicas) (int .maxReplicas) (int .minReplicas)) -}}
{{- end -}}
{{- $durations = merge $durations (dict "autoscaling.drainWithin" .drainWithin "autoscaling.cooldown" .cooldown "autoscaling.scaleUp.stabilization" (dig "scaleUp" "stabilization" "" .) "autoscaling.scaleDown.stabilization" (dig "scaleDown" "stabilization" "" .)) -}}
{{- end -}}
{{- range $field, $value := $durations -}}
{{- include "ooni-pipeline.checkText" (dict "path" (printf "%s.%s" $path $field) "value" $value "form" $duration "remedy" "set it to a duration such as 90s, 10m or 1h30m" "secret" false) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* dict "path" "a.b" "template" TEMPLATE: a pod template that is merged over that of the workers. */}}
{{- define "ooni-pipeline.validateTemplate" -}}
{{- $root := .path -}}
{{- $spec := default (dict) (default (dict) .template).spec -}}
{{- range $list := list "containers" "initContainers" "volumes" -}}
{{- $items := default (list) (get $spec $list) -}}
{{- if not (kindIs "slice" $items) -}}
{{- fail (printf "%s.spec.%s is not a list; set it to a list of objects that each have a name" $root $list) -}}
{{- end -}}
{{- range $index, $item := $items -}}
{{- $path := printf "%s.spec.%s[%d]" $root $list $index -}}
{{- if not (and (kindIs "map" $item) (dig "name" "" (ternary $item (dict) (kindIs "map" $item)))) -}}
{{- fail (printf "%s has no name; set its name, which for the container of the worker is worker" $path) -}}
{{- end -}}
{{- if and (eq $list "containers") (ne $item.name "worker") (not $item.image) -}}
{{- fail (printf "%s has the name %q and no image; set its name to worker to change the container of the worker, or set its image" $path $item.name) -}}
{{- end -}}
{{- range $kind := list "requests" "limits" -}}
{{- range $resource, $quantity := dig "resources" $kind (dict) $item -}}
{{- include "ooni-pipeline.checkQuantity" (dict "path" (printf "%s.resources.%s.%s" $path $kind $resource) "value" $quantity) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* dict "path" "a.b" "value" VALUE */}}
{{- define "ooni-pipeline.checkQuantity" -}}
{{- include "ooni-pipeline.checkText" (dict "path" .path "value" .value "form" "^[0-9]+([.][0-9]*)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$" "remedy" "set it to a quantity of Kubernetes, such as 500m, 2 or 1Gi" "secret" false) -}}
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
