{{/*
dict "root" $ "spec" SPEC: the spec of a WorkerPool with its pod template merged over workers.template, and that over what every worker of this
release needs: pull policy and secrets, the files of certificates, and a checksum of the settings, so that other settings make other pods.
*/}}
{{- define "ooni-pipeline.pool" -}}
{{- $image := dict "root" .root "image" .root.Values.image -}}
{{- $container := dict "name" "worker" "imagePullPolicy" (include "ooni-pipeline.imagePullPolicy" $image) -}}
{{- with include "ooni-pipeline.certificateVolumeMounts" .root | fromYamlArray -}}
{{- $_ := set $container "volumeMounts" . -}}
{{- end -}}
{{- $pod := dict "containers" (list $container) -}}
{{- with include "ooni-pipeline.certificateVolumes" .root | fromYamlArray -}}
{{- $_ := set $pod "volumes" . -}}
{{- end -}}
{{- with include "ooni-pipeline.imagePullSecrets" .root | fromYaml -}}
{{- $_ := set $pod "imagePullSecrets" .imagePullSecrets -}}
{{- end -}}
{{- $annotations := dict "checksum/settings" (include "ooni-pipeline.settingsChecksum" .root) -}}
{{- $template := dict "metadata" (dict "annotations" $annotations) "spec" $pod -}}
{{- $template = include "ooni-pipeline.overlayTemplate" (dict "base" $template "over" .root.Values.workers.template) | fromYaml -}}
{{- $template = include "ooni-pipeline.overlayTemplate" (dict "base" $template "over" (dig "template" (dict) .spec)) | fromYaml -}}
{{- toYaml (set (deepCopy .spec) "template" $template) -}}
{{- end }}

{{/* dict "base" TEMPLATE "over" TEMPLATE: a pod template merged over another; containers and volumes are merged by name. */}}
{{- define "ooni-pipeline.overlayTemplate" -}}
{{- $base := deepCopy .base -}}
{{- $over := deepCopy (default (dict) .over) -}}
{{- $result := mergeOverwrite (deepCopy $base) $over -}}
{{- range $field := list "containers" "volumes" -}}
{{- $items := dig "spec" $field (list) $base -}}
{{- range $item := dig "spec" $field (list) $over -}}
{{- $merged := list -}}
{{- $found := false -}}
{{- range $one := $items -}}
{{- if eq $one.name $item.name -}}
{{- $found = true -}}
{{- $both := mergeOverwrite (deepCopy $one) $item -}}
{{- if and (hasKey $one "volumeMounts") (hasKey $item "volumeMounts") -}}
{{- $_ := set $both "volumeMounts" (concat $one.volumeMounts $item.volumeMounts) -}}
{{- end -}}
{{- $merged = append $merged $both -}}
{{- else -}}
{{- $merged = append $merged $one -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}{{- $merged = append $merged $item -}}{{- end -}}
{{- $items = $merged -}}
{{- end -}}
{{- if $items -}}{{- $_ := set $result.spec $field $items -}}{{- end -}}
{{- end -}}
{{- toYaml $result -}}
{{- end }}
