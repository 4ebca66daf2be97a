import type { Reason } from '../crds/conditions.ts';

/** An alert of Prometheus. docs/metrics.md and the PrometheusRule of the chart contain it; docs/alerts.md says what to do. */
export interface Alert {
  readonly name: string;
  /** The event, in the words of docs/metrics.md. */
  readonly when: string;
  readonly expression: string;
  /** Time for which the expression must hold. */
  readonly for: string;
  readonly severity: 'critical' | 'warning';
  /** A sentence for the person on duty; may contain labels as {{ $labels.name }}. */
  readonly summary: string;
}

/** Share of the time in which a schedule may have a due bucket without verdicts: 5 %, or 36 hours in 30 days. */
const LATE_BUDGET = 0.05;

/**
 * Returns the condition that a schedule was late for more than `rate` times the budget, in a long window and still in a short one. `step` is
 * the time between two evaluated values.
 */
function burns(rate: number, long: string, short: string, step: string): string {
  const late = 'max by (namespace, name) (ooni_schedule_lag_buckets) > bool 0';
  const over = (window: string) =>
    `avg_over_time((${late})[${window}:${step}]) > ${Number((rate * LATE_BUDGET).toFixed(4))}`;
  return `${over(long)} and ${over(short)}`;
}

/** Reasons of a run that waits for a worker, the archive or ClickHouse. */
const BLOCKED: readonly Reason[] = ['NoWorker', 'Retrying', 'ArchiveSlow', 'NotProgressing'];
/** Selects the resources with such a run. Ready stays true, because the run continues by itself when the cause is gone. */
export const BLOCKED_RUN = `ooni_resource_condition{type="Ready",reason=~"${BLOCKED.join('|')}"}`;

export const ALERTS: readonly Alert[] = [
  {
    name: 'OoniResourceStalled',
    when: 'a resource needs a person',
    expression: 'max by (kind, namespace, name, reason) (ooni_resource_condition{type="Stalled",status="True"}) > 0',
    for: '1m',
    severity: 'critical',
    summary: '{{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} needs a person: {{ $labels.reason }}',
  },
  {
    name: 'OoniResourceNotReady',
    when: 'a resource is not ready for a long time',
    expression: 'max by (kind, namespace, name) (ooni_resource_condition{type="Ready",status!="True"}) > 0',
    for: '30m',
    severity: 'warning',
    summary: '{{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} has not been ready for 30 minutes',
  },
  {
    name: 'OoniRunBlocked',
    when: 'a run waits for a worker, the archive or ClickHouse',
    expression: `max by (kind, namespace, name) (${BLOCKED_RUN}) > 0`,
    for: '30m',
    severity: 'warning',
    summary:
      'The oldest run of {{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} has been blocked for 30 minutes',
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
    name: 'OoniFreshnessBurnsFast',
    when: 'a schedule has had a late bucket for 30 % of six hours: six times the budget of 5 %',
    expression: burns(6, '6h', '30m', '1m'),
    for: '5m',
    severity: 'critical',
    summary:
      'PipelineSchedule {{ $labels.namespace }}/{{ $labels.name }} had a due bucket without verdicts for more than 30 % of six hours',
  },
  {
    name: 'OoniFreshnessBurnsSlowly',
    when: 'a schedule has had a late bucket for more than 5 % of three days',
    expression: burns(1, '3d', '6h', '5m'),
    for: '1h',
    severity: 'warning',
    summary:
      'PipelineSchedule {{ $labels.namespace }}/{{ $labels.name }} had a due bucket without verdicts for more than 5 % of three days',
  },
  {
    name: 'OoniBucketsMissing',
    when: 'due buckets of a schedule are not in the ledger',
    expression: 'max by (namespace, name) (ooni_schedule_missing_buckets) > 0',
    for: '6h',
    severity: 'warning',
    summary:
      'PipelineSchedule {{ $labels.namespace }}/{{ $labels.name }} has {{ $value }} due buckets without a completed run',
  },
  {
    name: 'OoniInsertsFail',
    when: 'ClickHouse rejects or does not answer INSERTs',
    expression: 'sum by (error) (rate(ooni_insert_errors_total[10m])) > 0',
    for: '10m',
    severity: 'warning',
    summary: 'INSERT statements of observations fail with {{ $labels.error }}',
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
    name: 'OoniTemporalUnreachable',
    when: 'the leader has had no answer from Temporal',
    // An operator that starts while Temporal is away has no answer to give, so the last answer of an earlier one counts.
    expression: 'time() - max(last_over_time(ooni_temporal_last_answer_timestamp_seconds[6h])) > 900',
    for: '1m',
    severity: 'critical',
    summary: 'Temporal has not answered the operator for {{ $value | humanizeDuration }}',
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
