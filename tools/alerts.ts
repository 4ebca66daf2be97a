/** An alert of Prometheus. docs/metrics.md and the PrometheusRule of the chart contain it. */
export interface Alert {
  readonly name: string;
  /** What has happened, as docs/metrics.md says it. */
  readonly when: string;
  readonly expression: string;
  /** Time for which the expression must hold. */
  readonly for: string;
  readonly severity: 'critical' | 'warning';
  /** A sentence for the person on duty; may contain labels as {{ $labels.name }}. */
  readonly summary: string;
}

export const ALERTS: readonly Alert[] = [
  {
    name: 'OoniResourceStalled',
    when: 'a resource needs a person',
    expression: 'max by (kind, namespace, name, reason) (ooni_resource_condition{type="Stalled",status="True"}) > 0',
    for: '1m',
    severity: 'critical',
    summary:
      '{{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} does not go on by itself: {{ $labels.reason }}',
  },
  {
    name: 'OoniResourceNotReady',
    when: 'a resource is not ready for a long time',
    expression: 'max by (kind, namespace, name) (ooni_resource_condition{type="Ready",status!="True"}) > 0',
    for: '30m',
    severity: 'warning',
    summary: '{{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} is not ready for 30 minutes',
  },
  {
    name: 'OoniBucketsFailed',
    when: 'buckets fail',
    expression: 'max by (namespace, name) (ooni_backfill_buckets{state="failed"}) > 0',
    for: '1m',
    severity: 'warning',
    summary: 'Backfill {{ $labels.namespace }}/{{ $labels.name }} has {{ $value }} failed buckets',
  },
  {
    name: 'OoniScheduleBehind',
    when: 'a schedule falls behind',
    expression: 'max by (namespace, name) (ooni_schedule_lag_buckets) > 2',
    for: '10m',
    severity: 'warning',
    summary: 'PipelineSchedule {{ $labels.namespace }}/{{ $labels.name }} is {{ $value }} buckets behind',
  },
  {
    name: 'OoniNoLeader',
    when: 'no operator is the leader',
    expression: '(max(leader_election_master_status) or vector(0)) < 1',
    for: '5m',
    severity: 'critical',
    summary: 'No operator of the pipeline leads: resources do not change and pools do not scale',
  },
  {
    name: 'OoniMeasurementsFail',
    when: 'measurements fail',
    expression:
      'sum(rate(ooni_measurements_total{status="failed"}[1h])) / sum(rate(ooni_measurements_total[1h])) > 0.05',
    for: '10m',
    severity: 'warning',
    summary: '{{ $value | humanizePercentage }} of the measurements of the last hour failed',
  },
  {
    name: 'OoniWatchLostEvents',
    when: 'a watch has lost events',
    expression: 'sum by (resource) (increase(kube_audit_divergence_total[1d])) > 0',
    for: '1m',
    severity: 'warning',
    summary: 'A watch of {{ $labels.resource }} missed events; the audit corrected its cache',
  },
];
