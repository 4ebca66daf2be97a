import { BLOCKED_RUN } from './alerts.ts';

interface Panel {
  readonly title: string;
  readonly unit?: string;
  readonly queries: readonly (readonly [expression: string, legend: string])[];
}

/** Panels by section, in the order of the questions that a person on duty asks. */
const SECTIONS: Readonly<Record<string, readonly Panel[]>> = {
  Overview: [
    {
      title: 'Resources that are not ready',
      queries: [
        [
          'max by (kind, namespace, name, reason) (ooni_resource_condition{type="Ready",status!="True"}) > 0',
          '{{kind}} {{namespace}}/{{name}} {{reason}}',
        ],
      ],
    },
    {
      title: 'Runs that wait for a worker, the archive or ClickHouse',
      queries: [
        [`max by (kind, namespace, name, reason) (${BLOCKED_RUN}) > 0`, '{{kind}} {{namespace}}/{{name}} {{reason}}'],
      ],
    },
    {
      title: 'Measurements per second',
      unit: 'short',
      queries: [['sum by (status) (rate(ooni_measurements_total[5m]))', '{{status}}']],
    },
    {
      title: 'Share of measurements that failed',
      unit: 'percentunit',
      queries: [
        [
          'sum(rate(ooni_measurements_total{status="failed"}[1h])) / sum(rate(ooni_measurements_total[1h]))',
          'of the last hour',
        ],
      ],
    },
    { title: 'Tasks that wait', queries: [['max by (queue) (ooni_queue_backlog)', '{{queue}}']] },
    {
      title: 'Verdicts per second by outcome',
      queries: [['sum by (outcome) (rate(ooni_verdicts_total[5m]))', '{{outcome}}']],
    },
  ],
  Backfills: [
    {
      title: 'Buckets of backfills',
      queries: [['max by (namespace, name, state) (ooni_backfill_buckets)', '{{namespace}}/{{name}} {{state}}']],
    },
  ],
  Freshness: [
    {
      title: 'Buckets that schedules lag behind',
      queries: [['max by (namespace, name) (ooni_schedule_lag_buckets)', '{{namespace}}/{{name}}']],
    },
    {
      title: 'Due buckets of schedules: expected, listed, read, judged',
      queries: [['max by (namespace, name, state) (ooni_schedule_buckets)', '{{namespace}}/{{name}} {{state}}']],
    },
    {
      title: 'Age of the newest data of schedules',
      unit: 's',
      queries: [
        [
          'time() - max by (namespace, name) (ooni_schedule_newest_bucket_end_timestamp_seconds)',
          '{{namespace}}/{{name}}',
        ],
      ],
    },
    {
      title: 'From the end of a bucket to its verdicts',
      unit: 's',
      queries: [
        ['histogram_quantile(0.5, sum by (le) (increase(ooni_bucket_delay_seconds_bucket[1d])))', 'median'],
        ['histogram_quantile(0.9, sum by (le) (increase(ooni_bucket_delay_seconds_bucket[1d])))', '90 %'],
      ],
    },
    {
      title: 'Share of the time with a due bucket without verdicts: at most 5 % is the aim',
      unit: 'percentunit',
      queries: [
        [
          'avg_over_time((max by (namespace, name) (ooni_schedule_lag_buckets) > bool 0)[6h:1m])',
          '{{namespace}}/{{name}} of 6 hours',
        ],
        [
          'avg_over_time((max by (namespace, name) (ooni_schedule_lag_buckets) > bool 0)[3d:1m])',
          '{{namespace}}/{{name}} of 3 days',
        ],
      ],
    },
    {
      title: 'Buckets of schedules that are missing',
      queries: [['max by (namespace, name) (ooni_schedule_missing_buckets)', '{{namespace}}/{{name}}']],
    },
  ],
  Operator: [
    {
      title: 'Operators that lead: one',
      queries: [['sum by (name) (leader_election_master_status{name=~"ooni-operator-.+"})', '{{name}}']],
    },
    {
      title: 'Since the last answer of Temporal',
      unit: 's',
      queries: [
        [
          'time() - max by (namespace, temporal_namespace) (last_over_time(ooni_temporal_last_answer_timestamp_seconds[6h]))',
          '{{namespace}} {{temporal_namespace}}',
        ],
      ],
    },
    {
      title: 'Reconciliations per second',
      queries: [
        ['sum by (controller, result) (rate(controller_runtime_reconcile_total[5m]))', '{{controller}} {{result}}'],
      ],
    },
    {
      title: 'Events that watches lost, per day',
      queries: [['sum by (resource) (increase(kube_audit_divergence_total[1d]))', '{{resource}}']],
    },
  ],
  Workers: [
    {
      title: 'Pods of pools',
      queries: [['max by (namespace, name, state) (ooni_workerpool_replicas)', '{{namespace}}/{{name}} {{state}}']],
    },
    {
      title: 'Work by stage: threads that it occupies',
      queries: [['sum by (stage) (rate(ooni_stage_seconds_total[5m]))', '{{stage}}']],
    },
    {
      title: 'Bytes read from the archive per second',
      unit: 'Bps',
      queries: [['sum(rate(ooni_archive_bytes_total[5m]))', 'compressed']],
    },
  ],
  ClickHouse: [
    {
      title: 'Rows per second',
      queries: [['sum by (table) (rate(ooni_rows_total[5m]))', '{{table}}']],
    },
    {
      title: 'INSERT statements that were retried, per second',
      queries: [['sum(rate(ooni_insert_retries_total[5m]))', 'retries']],
    },
    {
      title: 'INSERT statements that failed, per second',
      queries: [['sum by (error) (rate(ooni_insert_errors_total[5m]))', '{{error}}']],
    },
  ],
};

// biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of Grafana
const datasource = { type: 'prometheus', uid: '${datasource}' };

/** Returns the Grafana dashboard of the chart as JSON. */
export function grafanaDashboard(): string {
  let id = 0;
  let y = 0;
  const dashboard = {
    uid: 'ooni-pipeline',
    title: 'OONI pipeline',
    tags: ['ooni'],
    schemaVersion: 39,
    editable: true,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    templating: {
      list: [{ name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' }],
    },
    panels: Object.entries(SECTIONS).flatMap(([title, panels]) => {
      const header = { id: ++id, type: 'row', title, collapsed: false, panels: [], gridPos: { x: 0, y, w: 24, h: 1 } };
      const top = y + 1;
      y = top + Math.ceil(panels.length / 2) * 8;
      return [header, ...panels.map((panel, index) => panelOf(panel, ++id, index, top))];
    }),
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

/** Returns a panel of a section whose first row of panels is at `top`: two panels in a row. */
function panelOf({ title, unit = 'short', queries }: Panel, id: number, index: number, top: number): object {
  return {
    id,
    type: 'timeseries',
    title,
    datasource,
    gridPos: { x: (index % 2) * 12, y: top + Math.floor(index / 2) * 8, w: 12, h: 8 },
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
    targets: queries.map(([expr, legendFormat], at) => ({
      refId: String.fromCharCode(65 + at),
      datasource,
      expr,
      legendFormat,
    })),
  };
}

/** Returns all expressions of the dashboard. */
export function dashboardExpressions(): string[] {
  return Object.values(SECTIONS)
    .flat()
    .flatMap(panel => panel.queries.map(([expression]) => expression));
}
