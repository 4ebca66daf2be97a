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

/** Name of the default installation's lease in the rules. The chart replaces it by that of its installation. */
const LEASE = 'ooni-operator-ooni';

/** Every controller that uses controller-runtime has the metric, so it is selected by the name of the lease. */
const LEADER = 'leader_election_master_status';

/**
 * Selects what Temporal has not answered for 15 minutes, although an operator leads. An operator that starts while Temporal is away has no
 * answer to give, so the last answer of an earlier one counts. `namespace` is that of the operator's pods.
 */
const TEMPORAL_AWAY = `time() - max by (namespace, temporal_namespace) (last_over_time(ooni_temporal_last_answer_timestamp_seconds[6h])) > 900 and on (namespace) ${LEADER}{name=~"ooni-operator-.+"} == 1`;

/** Reasons that other alerts report. */
const [BUCKETS_FAILED, TEMPORAL_UNAVAILABLE]: readonly [Reason, Reason] = ['BucketsFailed', 'TemporalUnavailable'];
const NOT_READY = 'ooni_resource_condition{type="Ready",status!="True"';
const STALLED = 'ooni_resource_condition{type="Stalled",status="True"';

export const ALERTS: readonly Alert[] = [
  {
    name: 'OoniResourceStalled',
    when: 'a resource needs a person',
    // Failed buckets have an alert of their own.
    expression: `max by (kind, namespace, name, reason) (${STALLED},reason!="${BUCKETS_FAILED}"}) > 0`,
    for: '1m',
    severity: 'critical',
    summary: '{{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} needs a person: {{ $labels.reason }}',
  },
  {
    name: 'OoniResourceNotReady',
    when: 'a resource is not ready for a long time',
    // One event, one alert: a stalled resource has its own, and so has a Temporal that answers no resource.
    expression: `max by (kind, namespace, name) (${NOT_READY},reason!="${TEMPORAL_UNAVAILABLE}"} or (${NOT_READY},reason="${TEMPORAL_UNAVAILABLE}"} unless on () (${TEMPORAL_AWAY}))) > 0 unless max by (kind, namespace, name) (${STALLED}}) > 0`,
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
    expression: 'sum by (error) (rate(ooni_insert_errors_total[5m])) > 0',
    for: '10m',
    severity: 'warning',
    summary: 'INSERT statements of observations fail with {{ $labels.error }}',
  },
  {
    name: 'OoniNoLeader',
    when: 'no operator is the leader',
    // Without any pod the series is absent; the product keeps its label.
    expression: `(max by (name) (${LEADER}{name="${LEASE}"}) or 0 * absent(${LEADER}{name="${LEASE}"})) < 1`,
    for: '5m',
    severity: 'critical',
    summary: 'No operator holds the lease {{ $labels.name }}: resources do not change and pools do not scale',
  },
  {
    name: 'OoniTemporalUnreachable',
    when: 'the leader has had no answer from Temporal',
    expression: TEMPORAL_AWAY,
    for: '1m',
    severity: 'critical',
    summary:
      'Temporal has not answered the operator in {{ $labels.namespace }} for {{ $value | humanizeDuration }} (namespace {{ $labels.temporal_namespace }} of Temporal)',
  },
  {
    name: 'OoniMeasurementsFail',
    when: 'measurements fail',
    // A few failures among few measurements are not news; a run does not fail for them either.
    expression:
      'sum(rate(ooni_measurements_total{status="failed"}[1h])) / sum(rate(ooni_measurements_total[1h])) > 0.05 and sum(increase(ooni_measurements_total{status="failed"}[1h])) >= 10',
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
