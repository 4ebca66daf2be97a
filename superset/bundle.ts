import { stringify } from 'yaml';
import { OUTCOMES } from '../pipeline/analysis/outcomes.ts';
import { COUNTRY } from './dashboards/country.ts';
import { DOMAIN } from './dashboards/domain.ts';
import { HEALTH } from './dashboards/health.ts';
import { NETWORK } from './dashboards/network.ts';
import { OVERVIEW } from './dashboards/overview.ts';
import { TUNNELS_AND_SPEED } from './dashboards/tunnels.ts';
import { DATASETS } from './datasets.ts';
import { type Cell, type Chart, type Dashboard, type Dataset, type Filter, uuid } from './model.ts';

export const DASHBOARDS: readonly Dashboard[] = [OVERVIEW, COUNTRY, DOMAIN, NETWORK, TUNNELS_AND_SPEED, HEALTH];

/** Folder of the files in the repository and, as `assets`, in the image. */
export const ASSETS = 'superset/assets';

/** Stand for time range and grain of a dashboard when it opens. superset/provision.py puts the settings of the installation in their place. */
const DEFAULT_TIME_RANGE = '{{ time range }}';
const DEFAULT_TIME_GRAIN = '{{ time grain }}';

/** Version of the export format of Superset. */
const VERSION = '1.0.0';
const DATABASE = 'OONI pipeline';
const DATABASE_UUID = uuid('database', 'clickhouse');

/** Colours of outcomes and layers in all charts, for which colour blindness makes no difference (after Okabe and Ito). */
const LABEL_COLORS: Readonly<Record<string, string>> = {
  [OUTCOMES.blocked]: '#C5283D',
  [OUTCOMES.partly]: '#E9A23B',
  [OUTCOMES.down]: '#7A6FA0',
  [OUTCOMES.refused]: '#8C6D46',
  [OUTCOMES.ok]: '#2E8B7A',
  [OUTCOMES.unknown]: '#B8BEC7',
  fast: '#2E8B7A',
  slow: '#E9A23B',
  throttled: '#C5283D',
  dns: '#0072B2',
  tcp: '#E69F00',
  tls: '#7B4FA3',
  http: '#56B4E9',
  DNS: '#0072B2',
  TCP: '#E69F00',
  TLS: '#7B4FA3',
  HTTP: '#56B4E9',
  completed: '#2E8B7A',
  inserted: '#56B4E9',
  started: '#B8BEC7',
  cancelled: '#7A6FA0',
  failed: '#C5283D',
  Transformed: '#2E8B7A',
  Skipped: '#56B4E9',
  Unsupported: '#B8BEC7',
  Failed: '#C5283D',
};

/** Returns all files of the bundle in Superset's export format, by path. Equal descriptions make equal files. */
export function supersetAssets(): Record<string, () => string> {
  const files: Record<string, object> = {
    'metadata.yaml': { version: VERSION, type: 'assets' },
    'databases/ooni_pipeline.yaml': database(),
  };
  for (const each of DATASETS) files[`datasets/ooni_pipeline/${each.name}.yaml`] = dataset(each);
  for (const each of DASHBOARDS) {
    files[`dashboards/${each.slug}.yaml`] = dashboard(each);
    for (const { chart, key } of chartsOf(each)) files[`charts/${key}.yaml`] = chartFile(chart, key);
  }
  return Object.fromEntries(
    Object.entries(files).map(([path, content]) => [
      `${ASSETS}/${path}`,
      // Superset reads YAML 1.1, where more words need quotes.
      () => stringify(content, { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false }),
    ]),
  );
}

/** The address is that of no server: superset_config.py connects to the ClickHouse of the installation in its place. */
function database(): object {
  return {
    database_name: DATABASE,
    sqlalchemy_uri: 'clickhousedb://clickhouse.invalid:8123/default',
    cache_timeout: null,
    expose_in_sqllab: true,
    allow_run_async: false,
    allow_ctas: false,
    allow_cvas: false,
    allow_dml: false,
    allow_file_upload: false,
    extra: { allows_virtual_table_explore: true, metadata_params: {}, engine_params: {} },
    uuid: DATABASE_UUID,
    version: VERSION,
  };
}

function dataset({ name, description, timeColumn, columns, metrics, sql, cacheSeconds }: Dataset): object {
  return {
    table_name: name,
    main_dttm_col: timeColumn,
    description,
    cache_timeout: cacheSeconds ?? null,
    schema: null,
    catalog: null,
    sql: sql ?? null,
    filter_select_enabled: true,
    always_filter_main_dttm: false,
    normalize_columns: false,
    uuid: uuid('dataset', name),
    metrics: Object.entries(metrics).map(([key, metric]) => ({
      metric_name: key,
      verbose_name: metric.label,
      expression: metric.expression,
      description: metric.description ?? null,
      d3format: metric.format ?? null,
    })),
    columns: columns.map(column => ({
      column_name: column.name,
      verbose_name: column.label ?? null,
      description: column.description ?? null,
      type: column.type,
      is_dttm: /^(Nullable\()?Date/.test(column.type),
      is_active: true,
      groupby: true,
      filterable: true,
      expression: column.expression ?? null,
    })),
    version: VERSION,
    database_uuid: DATABASE_UUID,
  };
}

function chartFile({ title, description, dataset, viz, params }: Chart, key: string): object {
  return {
    slice_name: title,
    description,
    viz_type: viz,
    params: { viz_type: viz, ...params },
    cache_timeout: null,
    uuid: uuid('chart', key),
    version: VERSION,
    dataset_uuid: uuid('dataset', dataset.name),
  };
}

interface PlacedChart {
  readonly chart: Chart;
  /** Key of the chart in the bundle: the slug of its dashboard and its title. */
  readonly key: string;
  /** Number of the chart in the bundle of this dashboard. Superset puts its own in its place. */
  readonly id: number;
}

/** Returns the charts of a dashboard in the order of their places. Throws for two charts with one title. */
export function chartsOf({ slug, rows }: Dashboard): PlacedChart[] {
  const charts = rows.flat().flatMap(({ content }) => ('markdown' in content ? [] : [content]));
  const placed = charts.map((chart, index) => ({
    chart,
    key: `${slug}_${chart.title.toLowerCase().replace(/[^a-z0-9]+/g, '_')}`,
    id: index + 1,
  }));
  const keys = new Set(placed.map(({ key }) => key));
  if (keys.size < placed.length) throw new Error(`dashboard ${slug} has two charts with the same title`);
  return placed;
}

function dashboard(each: Dashboard): object {
  const charts = chartsOf(each);
  return {
    dashboard_title: each.title,
    description: each.description,
    css: '',
    slug: each.slug,
    uuid: uuid('dashboard', each.slug),
    published: true,
    position: position(each, charts),
    metadata: {
      native_filter_configuration: each.filters.map(filter => nativeFilter(each, filter, charts)),
      chart_configuration: {},
      global_chart_configuration: { scope: { rootPath: ['ROOT_ID'], excluded: [] }, chartsInScope: [] },
      cross_filters_enabled: true,
      color_scheme: '',
      label_colors: LABEL_COLORS,
      shared_label_colors: [],
      map_label_colors: {},
      expanded_slices: {},
      timed_refresh_immune_slices: [],
      refresh_frequency: 0,
      default_filters: '{}',
    },
    version: VERSION,
  };
}

function position({ title, rows }: Dashboard, charts: readonly PlacedChart[]): object {
  const nodes: Record<string, unknown> = {
    DASHBOARD_VERSION_KEY: 'v2',
    ROOT_ID: { type: 'ROOT', id: 'ROOT_ID', children: ['GRID_ID'] },
    HEADER_ID: { type: 'HEADER', id: 'HEADER_ID', meta: { text: title } },
    GRID_ID: {
      type: 'GRID',
      id: 'GRID_ID',
      parents: ['ROOT_ID'],
      children: rows.map((_, index) => `ROW-${index + 1}`),
    },
  };
  rows.forEach((cells, index) => {
    const row = `ROW-${index + 1}`;
    const width = cells.reduce((sum, cell) => sum + cell.width, 0);
    if (width !== 12) throw new Error(`row ${index + 1} of dashboard "${title}" is ${width} columns wide, not 12`);
    const parents = ['ROOT_ID', 'GRID_ID', row];
    const children = cells.map((cell, place) => {
      const id = `${'markdown' in cell.content ? 'MARKDOWN' : 'CHART'}-${index + 1}-${place + 1}`;
      nodes[id] = { ...cellNode(cell, charts), id, parents, children: [] };
      return id;
    });
    nodes[row] = {
      type: 'ROW',
      id: row,
      parents: ['ROOT_ID', 'GRID_ID'],
      children,
      meta: { background: 'BACKGROUND_TRANSPARENT' },
    };
  });
  return nodes;
}

function cellNode({ content, width, height }: Cell, charts: readonly PlacedChart[]): object {
  if ('markdown' in content) return { type: 'MARKDOWN', meta: { code: content.markdown, width, height } };
  const { key, id } = charts.find(({ chart }) => chart === content)!;
  return { type: 'CHART', meta: { chartId: id, uuid: uuid('chart', key), sliceName: content.title, width, height } };
}

/** A filter restricts only charts whose dataset has its column: Superset would mark the others as faulty. */
function nativeFilter({ slug }: Dashboard, filter: Filter, charts: readonly PlacedChart[]): object {
  const common = {
    id: `NATIVE_FILTER-${uuid('filter', `${slug}/${filter.title}`).slice(0, 8)}`,
    name: filter.title,
    description: filter.description,
    type: 'NATIVE_FILTER',
    cascadeParentIds: [],
  };
  if (filter.kind === 'time') {
    return {
      ...common,
      filterType: 'filter_time',
      targets: [{}],
      controlValues: { enableEmptyFilter: false },
      defaultDataMask: {
        extraFormData: { time_range: DEFAULT_TIME_RANGE },
        filterState: { value: DEFAULT_TIME_RANGE },
        ownState: {},
      },
      scope: { rootPath: ['ROOT_ID'], excluded: [] },
    };
  }
  if (filter.kind === 'grain') {
    return {
      ...common,
      filterType: 'filter_timegrain',
      targets: [{ datasetUuid: uuid('dataset', filter.dataset.name) }],
      controlValues: { enableEmptyFilter: false },
      time_grains: ['P1D', 'P1W', 'P1M', 'P1Y'],
      defaultDataMask: {
        extraFormData: { time_grain_sqla: DEFAULT_TIME_GRAIN },
        filterState: { value: [DEFAULT_TIME_GRAIN] },
        ownState: {},
      },
      scope: { rootPath: ['ROOT_ID'], excluded: [] },
    };
  }
  const { dataset, column, single = false, sortBy } = filter;
  const without = charts.filter(({ chart }) => !chart.dataset.columns.some(({ name }) => name === column));
  return {
    ...common,
    filterType: 'filter_select',
    targets: [{ column: { name: column }, datasetUuid: uuid('dataset', dataset.name) }],
    controlValues: {
      multiSelect: !single,
      enableEmptyFilter: single,
      defaultToFirstItem: single,
      inverseSelection: false,
      searchAllOptions: true,
      ...(sortBy !== undefined && { sortAscending: false }),
    },
    // Charts wait for the first value.
    ...(single && { requiredFirst: true }),
    ...(sortBy !== undefined && { sortMetric: sortBy }),
    defaultDataMask: { extraFormData: {}, filterState: {}, ownState: {} },
    scope: { rootPath: ['ROOT_ID'], excluded: without.map(({ id }) => id) },
  };
}
