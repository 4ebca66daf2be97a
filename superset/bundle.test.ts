import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ASSETS, chartsOf, DASHBOARDS, supersetAssets } from './bundle.ts';
import { DATASETS } from './datasets.ts';
import { uuid } from './model.ts';

const charts = DASHBOARDS.flatMap(dashboard => chartsOf(dashboard).map(({ chart, key }) => [key, chart] as const));

describe('the dashboards', () => {
  test('are those that the design names', () => {
    const slugs = DASHBOARDS.map(({ slug }) => slug);
    expect(slugs).toEqual([
      ...['ooni-overview', 'ooni-country', 'ooni-domain', 'ooni-network', 'ooni-tunnels-and-speed', 'ooni-health'],
    ]);
  });

  test.for(charts)('%s uses only columns and metrics of its dataset', ([, { dataset, params }]) => {
    const columns = dataset.columns.map(({ name }) => name);
    const metrics = Object.keys(dataset.metrics);
    const { metric, metrics: several = [], groupby = [], x_axis: axis, entity, all_columns: rows = [] } = params;
    for (const each of [metric, ...(several as string[])].filter(Boolean)) expect(metrics).toContain(each);
    const named = [groupby, axis, entity, rows].flat().filter(each => typeof each === 'string');
    for (const each of named) expect(columns).toContain(each);
    for (const order of (params.order_by_cols ?? []) as string[]) expect(columns).toContain(JSON.parse(order)[0]);
  });

  test.for(DASHBOARDS.map(({ slug, filters }) => [slug, filters] as const))(
    '%s filters by columns that exist',
    ([, filters]) => {
      for (const filter of filters) {
        if (filter.kind !== 'value') continue;
        expect(filter.dataset.columns.map(({ name }) => name)).toContain(filter.column);
        if (filter.sortBy) expect(Object.keys(filter.dataset.metrics)).toContain(filter.sortBy);
      }
    },
  );
});

describe('the datasets', () => {
  test('have a time column, and no metric with the name of a column, which ClickHouse would confuse', () => {
    for (const { name, timeColumn, columns, metrics } of DATASETS) {
      const names = columns.map(column => column.name);
      expect(names, name).toContain(timeColumn);
      expect(new Set(names).size, name).toBe(names.length);
      expect(
        names.filter(column => column in metrics),
        name,
      ).toEqual([]);
    }
  });
});

describe('the bundle', () => {
  test('has an identifier for each object that never changes, so that an import replaces it', () => {
    expect(uuid('dashboard', 'ooni-overview')).toBe('7ab1c393-db84-5405-ad50-611fa3dc008d');
    expect(uuid('database', 'clickhouse')).toBe('87728479-af6d-536d-9550-5a121c14e9ee');
    const all = Object.entries(supersetAssets()).map(([path, content]) => [path, parse(content()).uuid] as const);
    const identifiers = all.filter(([path]) => !path.endsWith('metadata.yaml')).map(([, each]) => each);
    expect(
      identifiers.filter(each => !/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(each)),
    ).toEqual([]);
    expect(new Set(identifiers).size).toBe(identifiers.length);
  });

  test('contains no address and no password of a database', () => {
    const database = readFileSync(`${ASSETS}/databases/ooni_pipeline.yaml`, 'utf8');
    expect(parse(database).sqlalchemy_uri).toBe('clickhousedb://clickhouse.invalid:8123/default');
    expect(parse(database).password).toBeUndefined();
  });
});
