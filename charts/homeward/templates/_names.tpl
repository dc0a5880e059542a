{{/* The labels by which a service's pods are found; they never change. */}}
{{- define "homeward.selector" -}}
app.kubernetes.io/name: {{ .service }}
app.kubernetes.io/instance: {{ .release }}
{{- end }}

{{/* All labels of what belongs to a service. */}}
{{- define "homeward.labels" -}}
{{ include "homeward.selector" . }}
app.kubernetes.io/part-of: homeward
app.kubernetes.io/version: {{ .version | quote }}
app.kubernetes.io/managed-by: Helm
{{- end }}
