import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { DASHBOARDS } from '../../superset/bundle.ts';
import { until } from './command.ts';
import { usage } from './figures.ts';
import type { Context } from './installation.ts';
import { CHART, type Found, RELEASE } from './kube.ts';
import { imageValues, type Place } from './place.ts';
import { query, rowsOf, sameRows, shown } from './rows.ts';
import { RANGE } from './servers.ts';
import type { Steps } from './table.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** Database of the embedded ClickHouse. */
const DATABASE = 'ooni';
const ADMIN = { username: 'admin', password: 'password-of-a-test' };
const [CLICKHOUSE, SUPERSET, TEMPORAL] = ['clickhouse', 'superset', 'temporal'].map(
  component => `${RELEASE}-ooni-pipeline-${component}`,
) as [string, string, string];

interface Image {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

/**
 * Runs the steps of an evaluation: one release with ClickHouse, Temporal and Superset on volumes, in a namespace that enforces the
 * restricted Pod Security Standard. A Backfill writes through the embedded ClickHouse, Superset has the dashboards and reads the rows, and
 * both keep their data when their pods are replaced.
 */
export async function evaluationSteps(steps: Steps, { place, servers, kube, reference }: Context): Promise<void> {
  const { appVersion } = parse(readFileSync(join(CHART, 'Chart.yaml'), 'utf8')) as { appVersion: string };
  const defaults = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as {
    image: Image;
    superset: { image: Image };
    clickhouse: { embedded: { image: Image } };
  };
  const named = ({ registry, repository, tag }: Image) => `${registry}/${repository}:${tag || appVersion}`;
  const rows = async () => {
    const { url, stop } = await kube().forward(CLICKHOUSE, 8123);
    try {
      const found = await rowsOf(url, DATABASE);
      sameRows(found, await reference());
      return shown(found);
    } finally {
      await stop();
    }
  };
  /** Deletes the pod of a component and waits until its successor is ready. */
  const replace = async (deployment: string) => {
    const selector = `app.kubernetes.io/component=${deployment.split('-').at(-1)}`;
    const [before] = await kube().list('pods', selector);
    await kube().kubectl(['delete', 'pod', before!.metadata.name, '--timeout=3m']);
    await kube().kubectl(['rollout', 'status', `deployment/${deployment}`, '--timeout=15m']);
    const after = await kube().list('pods', selector);
    if (after.some(({ metadata }) => metadata.uid === before!.metadata.uid)) throw new Error('the pod is the same');
  };

  await steps.step('images of operator and workers, Superset, ClickHouse', async () => {
    if (!place().given) await place().image(named(defaults.image), join(ROOT, 'images/Dockerfile'), ROOT);
    await place().image(named(defaults.superset.image), join(ROOT, 'images/superset/Dockerfile'), ROOT, 'superset');
    if (place().pullsPublicImages) return 'ClickHouse from its registry';
    await standIn(place(), named(defaults.clickhouse.embedded.image));
    return 'a stand-in with the engine of npm chdb for ClickHouse';
  });
  await steps.step('namespace that enforces the restricted Pod Security Standard', async () => {
    await kube().apply({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: kube().namespace, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    });
    for (const claim of [CLICKHOUSE, SUPERSET, TEMPORAL]) await place().volume?.(kube().namespace, claim);
    return kube().namespace;
  });
  await steps.step('helm install --wait with embedded ClickHouse, embedded Temporal and Superset', async () => {
    const { given } = place();
    await kube().release(
      'install',
      {
        ...(given && { image: imageValues(given) }),
        settings: servers().settings,
        operator: { watchNamespaces: [kube().namespace] },
        clickhouse: { mode: 'embedded' },
        superset: {
          enabled: true,
          timeRange: 'No filter',
          credentials: { values: { secretKey: 'key-of-a-test-0123456789-0123456789', adminPassword: ADMIN.password } },
        },
      },
      '20m',
    );
    return 'all pods are ready';
  });
  await steps.step('a Backfill through the embedded ClickHouse; rows equal those of the command', async () => {
    await until('both pools', async () => (await kube().list('workerpools')).length === 2);
    await kube().apply({
      apiVersion: 'pipeline.ooni.org/v1alpha1',
      kind: 'Backfill',
      metadata: { name: 'first' },
      spec: RANGE,
    });
    await kube().wait('Complete', 'backfill/first', 1200);
    return rows();
  });
  await steps.step('memory and CPU of each idle pod', () => usage(kube()));
  await steps.step('the pod of ClickHouse is replaced; the rows are on its volume', async () => {
    await replace(CLICKHOUSE);
    return rows();
  });
  await steps.step('Superset is healthy, has the dashboards, and reads the rows', async () => {
    const found = await superset(kube().forward(SUPERSET, 8088));
    const { url, stop } = await kube().forward(CLICKHOUSE, 8123);
    try {
      const [row] = await query<{ n: string | number }>(
        url,
        `SELECT count() AS n FROM ${DATABASE}.measurement_verdicts`,
      );
      if (found.rows !== Number(row!.n))
        throw new Error(`Superset counts ${found.rows} measurements instead of ${row!.n}`);
    } finally {
      await stop();
    }
    return `${found.dashboards.length} dashboards, ${found.rows} measurements`;
  });
  await steps.step('the pod of Superset is replaced; its dashboards are imported again without copies', async () => {
    await replace(SUPERSET);
    const { dashboards } = await superset(kube().forward(SUPERSET, 8088));
    const log = await kube().kubectl(['logs', `deployment/${SUPERSET}`, '-c', 'provision']);
    if (!log.includes('metadata: current')) throw new Error(`the new pod did not find the metadata: ${log}`);
    return `${dashboards.length} dashboards`;
  });
  await steps.step('helm uninstall; the volumes stay', async () => {
    await kube().kubectl(['delete', 'backfills', '--all', '--timeout=3m']);
    await kube().helm(['uninstall', RELEASE, '--wait', '--timeout', '5m']);
    const claims = (await kube().list('persistentvolumeclaims')).map(({ metadata }: Found) => metadata.name);
    const lost = [CLICKHOUSE, SUPERSET, TEMPORAL].filter(claim => !claims.includes(claim));
    if (lost.length > 0) throw new Error(`the claims ${lost.join(', ')} are gone`);
    return claims.join(', ');
  });
}

/** Asks Superset for its health, its dashboards, and the number of rows of a dataset, as the administrator. */
async function superset(
  forwarding: Promise<{ url: string; stop: () => Promise<void> }>,
): Promise<{ dashboards: string[]; rows: number }> {
  const { url, stop } = await forwarding;
  const ask = async <T>(path: string, token: string, body?: object): Promise<T> => {
    const response = await fetch(`${url}${path}`, {
      method: body ? 'POST' : 'GET',
      headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`Superset answers ${response.status} for ${path}: ${answer.slice(0, 500)}`);
    return JSON.parse(answer) as T;
  };
  try {
    const health = await fetch(`${url}/health`);
    if (!health.ok) throw new Error(`/health answers ${health.status}`);
    const login = { ...ADMIN, provider: 'db', refresh: false };
    const { access_token: token } = await ask<{ access_token: string }>('/api/v1/security/login', '', login);
    const { result } = await ask<{ result: { dashboard_title: string }[] }>(
      '/api/v1/dashboard/?q=(page_size:100)',
      token,
    );
    const dashboards = result.map(({ dashboard_title }) => dashboard_title).sort();
    const expected = DASHBOARDS.map(({ title }) => title).sort();
    if (JSON.stringify(dashboards) !== JSON.stringify(expected)) {
      throw new Error(`the dashboards are ${dashboards.join(', ')} instead of ${expected.join(', ')}`);
    }
    const datasets = await ask<{ result: { id: number }[] }>(
      '/api/v1/dataset/?q=(filters:!((col:table_name,opr:eq,value:measurement_verdicts)))',
      token,
    );
    const counted = await ask<{ result: { data: { n: number }[] }[] }>('/api/v1/chart/data', token, {
      datasource: { id: datasets.result[0]!.id, type: 'table' },
      queries: [{ metrics: [{ expressionType: 'SQL', sqlExpression: 'count()', label: 'n' }], row_limit: 1 }],
      result_format: 'json',
      result_type: 'full',
    });
    return { dashboards, rows: Number(counted.result[0]!.data[0]!.n) };
  } finally {
    await stop();
  }
}

/**
 * Builds a stand-in for the image of ClickHouse, for a cluster without registries: the command `clickhouse server` reads port and path from its
 * configuration, and serves the HTTP interface with the engine of npm chdb.
 */
async function standIn(place: Place, name: string): Promise<void> {
  const context = mkdtempSync(join(tmpdir(), 'ooni-clickhouse-image-'));
  try {
    for (const path of ['clickhouse', 'pipeline', 'node_modules/chdb', 'node_modules/@chdb', 'node_modules/yaml']) {
      cpSync(join(ROOT, path), join(context, 'app', path), { recursive: true });
    }
    cpSync(
      join(import.meta.dirname, 'clickhouse-stand-in.ts'),
      join(context, 'app/test/cluster/clickhouse-stand-in.ts'),
    );
    writeFileSync(
      join(context, 'clickhouse'),
      '#!/bin/sh\nexec /usr/local/bin/node /app/test/cluster/clickhouse-stand-in.ts "$@"\n',
      { mode: 0o755 },
    );
    writeFileSync(
      join(context, 'Dockerfile'),
      'FROM docker.io/library/node:24-trixie-slim\nCOPY app /app\nCOPY clickhouse /usr/bin/clickhouse\n',
    );
    await place.image(name, join(context, 'Dockerfile'), context);
  } finally {
    rmSync(context, { recursive: true });
  }
}
