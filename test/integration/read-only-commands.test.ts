import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { programPath } from '../../local/programs.ts';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { connectionSource } from '../../operator/kube/config.ts';
import { startProxy } from '../support/clickhouse-proxy.ts';
import { makeDatabase } from '../support/database.ts';
import { ApiProxy } from '../support/kube-api-proxy.ts';
import { kubeconfigFor } from '../support/kubeconfig-proxies.ts';
import { adminClient, installCrds, makeTemporalNamespace, NAMESPACES } from '../support/operator.ts';
import { PROGRAM_ENV } from '../support/program.ts';
import { programs, typeLine } from '../support/typed-line.ts';

/**
 * Commands that only read, and dry runs, against real servers: ClickHouse and Kubernetes behind proxies that record the requests, and a
 * namespace of Temporal without the search attributes of runs, in which any start of a program that registers them would be seen.
 */
const NAMESPACE = 'read-only';
const UID = '0120230530d1ede6090eb41dc281857d64d87b1f';
const RANGE = '--start-at 2023-05-30 --end-at 2023-05-31';
const FILTER = '--probe-cc US --test-name signal';
const READS = /^\s*(SELECT|WITH|SHOW|DESCRIBE|EXISTS|EXPLAIN)\b/i;

let dir: string;
let env: NodeJS.ProcessEnv;
let temporal: Connection;
let kubernetes: ApiProxy;
let clickhouse: Awaited<ReturnType<typeof startProxy>>;
let kubeconfig: Awaited<ReturnType<typeof kubeconfigFor>>;
const statements: string[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-read-only-'));
  mkdirSync(join(dir, 'work'));
  const address = inject('temporalAddress');
  const client = adminClient(inject('kubeconfig'));
  const [{ url }] = await Promise.all([
    makeDatabase(inject('clickhouseUrl'), 'read_only'),
    makeTemporalNamespace(address, NAMESPACE),
    installCrds(client),
  ]);
  temporal = await Connection.connect({ address });
  await client.create(NAMESPACES, { metadata: { name: NAMESPACE } });
  const metadata = (name: string) => ({ metadata: { name, namespace: NAMESPACE } });
  const { startAt, endAt } = { startAt: '2023-05-30', endAt: '2023-05-31' };
  await client.create(BACKFILLS, { ...metadata('done'), spec: { startAt, endAt } } as never);
  await client.create(PIPELINE_SCHEDULES, { ...metadata('daily'), spec: { schedule: '0 2 * * *' } } as never);
  await client.create(WORKER_POOLS, { ...metadata('main'), spec: { replicas: 1 } } as never);
  const status = { phase: 'Complete', observedGeneration: 1 };
  await client.patch(BACKFILLS, { namespace: NAMESPACE, name: 'done' }, { status }, { subresource: 'status' });
  kubernetes = await ApiProxy.start(connectionSource({ kubeconfig: inject('kubeconfig') }));
  kubeconfig = await kubeconfigFor((await kubernetes.source()).server);
  clickhouse = await startProxy(url, async ({ statement, forward, answer }) => {
    statements.push(statement);
    await answer(await forward());
  });
  env = {
    ...PROGRAM_ENV,
    HOME: dir,
    PATH: programs(dir, { kubectl: programPath('kubectl') }),
    KUBECONFIG: kubeconfig.path,
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: NAMESPACE,
    ARCHIVE_URL: join(process.cwd(), 'test/fixtures/archive'),
    FINGERPRINTS_DNS_SOURCE: 'none',
    FINGERPRINTS_HTTP_SOURCE: 'none',
    TEST_LISTS_SOURCE: 'none',
    AS_ORGANISATIONS_SOURCE: 'none',
  };
  const filled = await typeLine(`oonipipeline run ${RANGE} ${FILTER} -o json`, { ...env, CLICKHOUSE_URL: url }, dir);
  expect(filled.status, filled.log).toBe(0);
  env.CLICKHOUSE_URL = clickhouse.url;
}, 300_000);

afterAll(async () => {
  clickhouse?.close();
  await Promise.all([kubernetes?.stop(), kubeconfig?.remove(), temporal?.close()]);
  rmSync(dir, { recursive: true, force: true });
});

/** Returns what a command could have changed in Temporal. */
async function stateOfTemporal() {
  const namespace = NAMESPACE;
  const [{ customAttributes }, { schedules }, { count }] = await Promise.all([
    temporal.operatorService.listSearchAttributes({ namespace }),
    temporal.workflowService.listSchedules({ namespace }),
    temporal.workflowService.countWorkflowExecutions({ namespace }),
  ]);
  return { attributes: Object.keys(customAttributes ?? {}), schedules: schedules.length, workflows: Number(count) };
}

/** Runs a line, and returns its result and the requests that change something. */
async function observe(line: string, more: NodeJS.ProcessEnv = {}) {
  statements.length = 0;
  kubernetes.seen.length = 0;
  const typed = await typeLine(line, { ...env, ...more }, join(dir, 'work'));
  const writes = [
    ...statements.filter(statement => statement !== '' && !READS.test(statement)),
    ...kubernetes.seen
      .filter(({ method, path, query }) => {
        const isDry = query.get('dryRun') === 'All' || path.startsWith('/apis/authorization.k8s.io/');
        return method !== 'GET' && !isDry;
      })
      .map(({ method, path }) => `${method} ${path}`),
    ...readdirSync(join(dir, 'work')).map(file => `file ${file}`),
  ];
  return { ...typed, writes, temporal: await stateOfTemporal() };
}

const untouched = { attributes: expect.any(Array), schedules: 0, workflows: 0 };

test.each([
  ['oonipipeline status -o json', 0],
  ['oonipipeline runs', 0],
  ['oonipipeline failures', 0],
  ["oonipipeline sql 'SELECT count() FROM obs_web'", 0],
  [`oonipipeline explain ${UID}`, 0],
  [`oonipipeline verify ${RANGE} ${FILTER}`, 0],
  ['oonipipeline checkdb --print-create --print-diff', 0],
  ['oonipipeline checkdb --create-tables --drop-tables --dry-run --yes', 0],
  ['oonipipeline check-duplicates --optimize --dry-run', 0],
  ['oonipipeline migrate --dry-run', 0],
  ['oonipipeline update-assets --dry-run', 0],
  [`oonipipeline sync ${RANGE} --output-dir down --dry-run`, 0],
  ['oonipipeline config', 0],
  [`oonipipeline backfill ${RANGE} --drop-tables --create-tables --yes --dry-run`, 0],
  ['oonipipeline clear-schedules --no-kubernetes --dry-run', 0],
  ['oonipipeline clear-schedules --kubernetes --dry-run', 0],
  [`kubectl ooni backfill watch done -n ${NAMESPACE}`, 0],
  [`kubectl ooni backfill grid done -n ${NAMESPACE}`, 0],
  [`kubectl ooni backfill create ${RANGE} -n ${NAMESPACE} --dry-run`, 0],
  [`kubectl ooni backfill retry done -n ${NAMESPACE} --dry-run`, 0],
  [`kubectl ooni schedule suspend daily -n ${NAMESPACE} --dry-run`, 0],
  [`kubectl ooni schedule run daily -n ${NAMESPACE} --dry-run`, 0],
  [`kubectl ooni pool drain main -n ${NAMESPACE} --dry-run`, 0],
] as const)('changes nothing: %s', async (line, status) => {
  const seen = await observe(line);
  expect(seen.writes).toEqual([]);
  expect(seen.temporal).toEqual(untouched);
  expect(seen.temporal.attributes.filter(name => name.startsWith('Ooni'))).toEqual([]);
  expect(seen.status, seen.output + seen.log).toBe(status);
});

// The report contains what status and doctor show.
test('report writes its file, and nothing else', async () => {
  const { writes, status, log } = await observe('kubectl ooni report --output-file report.json.gz');
  expect(status, log).toBe(0);
  expect(writes).toEqual(['file report.json.gz']);
  expect((await stateOfTemporal()).attributes.filter(name => name.startsWith('Ooni'))).toEqual([]);
  rmSync(join(dir, 'work/report.json.gz'));
});

test.each([
  'status -o json',
  `verify ${RANGE}`,
  'checkdb --print-diff',
  'check-duplicates',
  'migrate --dry-run',
  `backfill ${RANGE} --dry-run`,
  'update-assets --dry-run',
])('makes no database where there is none: %s', async command => {
  const url = clickhouse.url.replace(/[^/]*$/, 'no_such_database');
  const { writes, log } = await observe(`oonipipeline ${command}`, { CLICKHOUSE_URL: url });
  expect(writes).toEqual([]);
  expect(log).not.toMatch(/^ +at /m);
});

test('status shows no runs where Temporal lacks the search attributes of runs', async () => {
  const view = JSON.parse((await observe('oonipipeline status -o json')).output);
  expect(view.temporal).toMatchObject({ known: true, value: { runs: { count: 0 }, backfills: [], schedules: [] } });
});
