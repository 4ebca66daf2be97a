import type { Cell, Chart, Dataset } from './model.ts';

/** Title, description and dataset of a chart. */
export type About = Pick<Chart, 'title' | 'description' | 'dataset'>;

/** The time filter of the dashboard restricts the chart; without a filter, it shows all rows. */
function timeFilter({ timeColumn }: Dataset) {
  return {
    clause: 'WHERE',
    expressionType: 'SIMPLE',
    operator: 'TEMPORAL_RANGE',
    subject: timeColumn,
    comparator: 'No filter',
  };
}

/** A condition in SQL on the rows of a chart (WHERE) or on its groups (HAVING). It cannot contain a query. */
function sqlFilter(clause: 'WHERE' | 'HAVING', sql: string) {
  return { clause, expressionType: 'SQL', sqlExpression: sql };
}

function chart(
  about: About,
  viz: string,
  params: Readonly<Record<string, unknown>>,
  where?: string,
  having?: string,
): Chart {
  const filters = [
    timeFilter(about.dataset),
    ...(where === undefined ? [] : [sqlFilter('WHERE', where)]),
    ...(having === undefined ? [] : [sqlFilter('HAVING', having)]),
  ];
  return { ...about, viz, params: { adhoc_filters: filters, ...params } };
}

/** One number. `format` is a D3 format. */
export function number(
  about: About,
  metric: string,
  options: { format?: string; subtitle?: string; where?: string } = {},
) {
  const { format = ',d', subtitle = '', where } = options;
  return chart(
    about,
    'big_number_total',
    {
      metric,
      y_axis_format: format,
      subtitle,
      header_font_size: 0.4,
      subheader_font_size: 0.15,
      subtitle_font_size: 0.125,
      time_format: '%Y-%m-%d %H:%M',
    },
    where,
  );
}

/** Stacked bars over time, one colour for each value of `by`, or for each metric. */
export function bars(
  about: About,
  metrics: readonly string[],
  options: { by?: string; grain?: string; format?: string; where?: string } = {},
) {
  const { by, grain = 'P1D', format = ',d', where } = options;
  return chart(
    about,
    'echarts_timeseries_bar',
    {
      x_axis: about.dataset.timeColumn,
      time_grain_sqla: grain,
      metrics,
      groupby: by === undefined ? [] : [by],
      stack: 'Stack',
      row_limit: 10_000,
      limit: 20,
      color_scheme: COLOURS,
      show_legend: true,
      legendType: 'scroll',
      legendOrientation: 'top',
      x_axis_time_format: '%Y-%m-%d',
      y_axis_format: format,
      rich_tooltip: true,
      tooltipTimeFormat: '%Y-%m-%d',
      minorSplitLine: false,
      zoomable: false,
    },
    where,
  );
}

/** Horizontal bars, one for each value of `of`, longest first; `by` divides each bar into colours. */
export function ranking(
  about: About,
  of: string,
  metric: string,
  options: { by?: string; limit?: number; format?: string; where?: string } = {},
) {
  const { by, limit = 12, format = ',d', where } = options;
  return chart(
    about,
    'echarts_timeseries_bar',
    {
      x_axis: of,
      xAxisForceCategorical: true,
      metrics: [metric],
      groupby: by === undefined ? [] : [by],
      orientation: 'horizontal',
      stack: 'Stack',
      // From the bottom to the top: the longest bar is the first.
      ...(by === undefined
        ? { x_axis_sort: metric, x_axis_sort_asc: true }
        : { x_axis_sort_series: 'sum', x_axis_sort_series_ascending: true }),
      order_desc: true,
      row_limit: by === undefined ? limit : limit * 2,
      color_scheme: COLOURS,
      show_legend: by !== undefined,
      legendType: 'scroll',
      legendOrientation: 'top',
      y_axis_format: format,
      truncateYAxis: false,
      rich_tooltip: true,
    },
    where,
  );
}

/**
 * Shares of a whole as a ring, with its legend below. `beside`: width of the legend in pixels, which is then beside the ring, because a row
 * of many names is cut at the left edge.
 */
export function ring(about: About, of: string, metric: string, options: { where?: string; beside?: number } = {}) {
  return chart(
    about,
    'pie',
    {
      groupby: [of],
      metric,
      donut: true,
      innerRadius: 50,
      outerRadius: 80,
      color_scheme: COLOURS,
      label_type: 'percent',
      number_format: ',d',
      show_labels: true,
      labels_outside: false,
      show_labels_threshold: 5,
      show_legend: true,
      legendType: 'plain',
      ...(options.beside
        ? { legendOrientation: 'right', legendMargin: options.beside }
        : { legendOrientation: 'bottom' }),
      show_total: true,
      row_limit: 20,
      sort_by_metric: true,
    },
    options.where,
  );
}

/** Countries of the world, the darker the greater the metric. */
export function worldMap(about: About, country: string, metric: string) {
  return chart(about, 'world_map', {
    entity: country,
    country_fieldtype: 'cca2',
    metric,
    show_bubbles: false,
    secondary_metric: null,
    color_by: 'metric',
    linear_color_scheme: SCALE,
    row_limit: 300,
    y_axis_format: '.1%',
  });
}

/** Days from left to right, values of `of` from top to bottom; the darker the greater the metric. */
export function heatmap(
  about: About,
  of: string,
  metric: string,
  options: { grain?: string; format?: string; where?: string; having?: string } = {},
) {
  const { grain = 'P1D', format = '.0%', where, having } = options;
  return chart(
    about,
    'heatmap_v2',
    {
      x_axis: about.dataset.timeColumn,
      time_grain_sqla: grain,
      groupby: of,
      metric,
      sort_x_axis: 'alpha_asc',
      sort_y_axis: 'alpha_desc',
      linear_color_scheme: SCALE,
      normalize_across: 'heatmap',
      value_bounds: [0, 1],
      y_axis_format: format,
      x_axis_time_format: '%Y-%m-%d',
      show_legend: true,
      show_percentage: false,
      show_values: false,
      left_margin: 'auto',
      bottom_margin: 'auto',
      legend_type: 'continuous',
      xscale_interval: -1,
      yscale_interval: -1,
      row_limit: 2_000,
    },
    where,
    having,
  );
}

/** Options of one column of a table. */
interface ColumnOptions {
  readonly d3NumberFormat?: string;
  readonly showCellBars?: boolean;
  readonly horizontalAlign?: string;
  readonly columnWidth?: number;
}

const TABLE = {
  show_cell_bars: true,
  color_pn: false,
  table_timestamp_format: '%Y-%m-%d %H:%M',
  allow_render_html: true,
  server_pagination: false,
  page_length: 0,
  include_search: false,
};

/** Groups with their metrics, the greatest of the first metric first. */
export function groups(
  about: About,
  by: readonly string[],
  metrics: readonly string[],
  options: { limit?: number; columns?: Readonly<Record<string, ColumnOptions>>; where?: string } = {},
) {
  const { limit = 50, columns = {}, where } = options;
  return chart(
    about,
    'table',
    {
      ...TABLE,
      query_mode: 'aggregate',
      groupby: by,
      metrics,
      timeseries_limit_metric: metrics[0],
      order_desc: true,
      row_limit: limit,
      column_config: columns,
    },
    where,
  );
}

/** Single rows, the first by `order` on top: pairs of a column and whether it ascends. */
export function records(
  about: About,
  columns: readonly string[],
  order: readonly (readonly [column: string, ascending: boolean])[],
  options: { limit?: number; columns?: Readonly<Record<string, ColumnOptions>>; where?: string } = {},
) {
  const { limit = 50, columns: config = {}, where } = options;
  return chart(
    about,
    'table',
    {
      ...TABLE,
      show_cell_bars: false,
      query_mode: 'raw',
      // Superset reads a computed column in rows only where the chart has its expression.
      all_columns: columns.map(name => {
        const computed = about.dataset.columns.find(column => column.name === name && column.expression !== undefined);
        return computed
          ? { expressionType: 'SQL', label: computed.label ?? name, sqlExpression: computed.expression }
          : name;
      }),
      order_by_cols: order.map(each => JSON.stringify(each)),
      row_limit: limit,
      column_config: config,
    },
    where,
  );
}

/** Colour scheme of series that are not outcomes; one that people with colour blindness can tell apart. */
const COLOURS = 'supersetColors';
/** Colours of a share, from light to dark. */
const SCALE = 'schemeReds';

/** Returns two rows of a dashboard, each with three numbers. */
export function numberRows(...charts: readonly Chart[]): Cell[][] {
  const cells = charts.map(content => ({ width: 4, height: 16, content }));
  return [cells.slice(0, 3), cells.slice(3)];
}
