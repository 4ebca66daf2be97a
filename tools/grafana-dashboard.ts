interface Panel {
  readonly title: string;
  readonly unit?: string;
  readonly queries: readonly (readonly [expression: string, legend: string])[];
}

const PANELS: readonly Panel[] = [
  {
    title: 'Buckets of backfills',
    queries: [['max by (namespace, name, state) (ooni_backfill_buckets)', '{{namespace}}/{{name}} {{state}}']],
  },
  {
    title: 'Measurements per second',
    unit: 'short',
    queries: [['sum by (status) (rate(ooni_measurements_total[5m]))', '{{status}}']],
  },
  {
    title: 'Pods of pools',
    queries: [['max by (namespace, name, state) (ooni_workerpool_replicas)', '{{namespace}}/{{name}} {{state}}']],
  },
  { title: 'Tasks that wait', queries: [['max by (queue) (ooni_queue_backlog)', '{{queue}}']] },
  {
    title: 'Buckets that schedules lag behind',
    queries: [['max by (namespace, name) (ooni_schedule_lag_buckets)', '{{namespace}}/{{name}}']],
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
    title: 'Buckets of schedules that are missing',
    queries: [['max by (namespace, name) (ooni_schedule_missing_buckets)', '{{namespace}}/{{name}}']],
  },
  {
    title: 'Work by stage: threads that it occupies',
    queries: [['sum by (stage) (rate(ooni_stage_seconds_total[5m]))', '{{stage}}']],
  },
  {
    title: 'Verdicts per second by outcome',
    queries: [['sum by (outcome) (rate(ooni_verdicts_total[5m]))', '{{outcome}}']],
  },
  {
    title: 'Rows per second',
    queries: [['sum by (table) (rate(ooni_rows_total[5m]))', '{{table}}']],
  },
  {
    title: 'Bytes read from the archive per second',
    unit: 'Bps',
    queries: [['sum(rate(ooni_archive_bytes_total[5m]))', 'compressed']],
  },
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
    title: 'Reconciliations per second',
    queries: [
      ['sum by (controller, result) (rate(controller_runtime_reconcile_total[5m]))', '{{controller}} {{result}}'],
    ],
  },
  {
    title: 'INSERT statements that were retried, per second',
    queries: [['sum(rate(ooni_insert_retries_total[5m]))', 'retries']],
  },
  {
    title: 'INSERT statements that failed, per second',
    queries: [['sum by (error) (rate(ooni_insert_errors_total[5m]))', '{{error}}']],
  },
];

/** Returns the Grafana dashboard of the chart as JSON. */
export function grafanaDashboard(): string {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of Grafana
  const datasource = { type: 'prometheus', uid: '${datasource}' };
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
    panels: PANELS.map(({ title, unit = 'short', queries }, index) => ({
      id: index + 1,
      type: 'timeseries',
      title,
      datasource,
      gridPos: { x: (index % 2) * 12, y: Math.floor(index / 2) * 8, w: 12, h: 8 },
      fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
      targets: queries.map(([expr, legendFormat], at) => ({
        refId: String.fromCharCode(65 + at),
        datasource,
        expr,
        legendFormat,
      })),
    })),
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

/** Returns all expressions of the dashboard. */
export function dashboardExpressions(): string[] {
  return PANELS.flatMap(panel => panel.queries.map(([expression]) => expression));
}
