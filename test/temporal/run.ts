/**
 * Starts the mode `production` of the chart for real, without containers: PostgreSQL, if asked Elasticsearch or OpenSearch, the Jobs for schema and
 * namespace, and the four services of a Temporal server, with the commands, the environment and the files that the chart renders. A backfill of the
 * fixtures runs through them while the history service is killed and started again. Then the workflows are listed by the search attributes of the project.
 *
 *     npm run temporal-production                                    visibility in PostgreSQL
 *     npm run temporal-production -- elasticsearch opensearch        visibility in these servers
 *
 * Needs PostgreSQL and Go, for the search engines also Java 17 and Maven, and the network for the first run. Ends with `N passed, N failed`.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection, type WorkflowExecutionInfo } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { startClickHouse } from '../../local/clickhouse.ts';
import { cacheFolder, programPath } from '../../local/programs.ts';
import { bundleWorkflows } from '../../local/workflows.ts';
import { filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import {
  BACKFILL_MESSAGES,
  type BackfillInput,
  type BackfillProgress,
  queuesOf,
  WORKFLOWS,
} from '../../worker/contract.ts';
import { makeDatabase } from '../support/database.ts';
import { expectedMeasurements, expectedRows, FIXTURES } from '../support/fixtures.ts';
import { WorkerProcess } from '../support/worker.ts';
import { type Postgresql, startPostgresql } from './postgresql.ts';
import { type EngineName, type SearchEngine, startSearchEngine } from './search-engine.ts';
import { SERVER_VERSION, TemporalProduction } from './server.ts';

type Visibility = 'postgresql' | EngineName;
const VISIBILITIES: readonly Visibility[] = ['postgresql', 'elasticsearch', 'opensearch'];

const NAMESPACE = 'default';
const INSTALLATION = 'production';
const DAYS = { startAt: '2023-11-27', endAt: '2024-02-13' };
/** Characters that YAML, shells and connection strings treat in their own way. A space is not among them: Temporal encodes it as a plus sign. */
const PASSWORD = `p"a's\\%40w:o/r#d{{.}}$HOME+?`;

let passed = 0;
let failed = 0;

async function step<T>(name: string, work: () => T | Promise<T>, detail?: (result: T) => string): Promise<T> {
  const start = performance.now();
  try {
    const result = await work();
    passed++;
    console.log(
      `  ok    ${name.padEnd(60)}${((performance.now() - start) / 1000).toFixed(1).padStart(7)} s  ${detail?.(result) ?? ''}`,
    );
    return result;
  } catch (error) {
    failed++;
    console.log(
      `  FAIL  ${name}\n${String((error as Error).stack ?? error)}\n${(error as { stderr?: string }).stderr ?? ''}`,
    );
    throw error;
  }
}

/** Polls until `look` returns a value. Throws the last error, or one that names `what`, after `seconds`. */
async function until<T>(what: string, look: () => Promise<T | undefined>, seconds = 180): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    let last: unknown;
    try {
      const found = await look();
      if (found !== undefined) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${seconds} s`, { cause: last });
    await sleep(200);
  }
}

function equal(what: string, found: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: expected ${b?.slice(0, 500)}, found ${a?.slice(0, 500)}`);
}

async function run(visibility: Visibility): Promise<void> {
  console.log(`\nTemporal ${SERVER_VERSION}, visibility in ${visibility}`);
  const dir = mkdtempSync(join(tmpdir(), 'ooni-temporal-'));
  chmodSync(dir, 0o755);
  const stops: (() => Promise<unknown>)[] = [() => Promise.resolve(rmSync(dir, { recursive: true, force: true }))];
  try {
    const postgresql = await step(
      'PostgreSQL starts',
      () => startPostgresql(join(dir, 'postgresql')),
      it => it.version,
    );
    stops.push(() => postgresql.stop());
    postgresql.query(`CREATE ROLE temporal LOGIN CREATEDB PASSWORD '${PASSWORD.replaceAll("'", "''")}'`);
    const engine =
      visibility === 'postgresql'
        ? undefined
        : await step(
            `${visibility} starts from its jars`,
            () => startSearchEngine(visibility, join(dir, visibility), dirname(cacheFolder('temporal'))),
            it => it.version,
          );
    if (engine) stops.push(() => engine.stop());
    await exercise(dir, postgresql, engine, stops);
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function exercise(
  dir: string,
  postgresql: Postgresql,
  engine: SearchEngine | undefined,
  stops: (() => Promise<unknown>)[],
): Promise<void> {
  const values = {
    historyShards: 16,
    dynamicConfig: { 'frontend.namespaceRPS': 4800, 'system.enableEagerWorkflowStart': true },
    postgresql: {
      host: postgresql.host,
      port: postgresql.port,
      existingSecret: 'postgresql',
      createDatabases: true,
      maxConnections: 10,
    },
    ...(engine && { elasticsearch: { enabled: true, scheme: 'http', host: '127.0.0.1', port: engine.port } }),
  };
  const temporal = await step('the chart is rendered', () =>
    TemporalProduction.render(dir, values, { 'postgresql/password': PASSWORD }),
  );
  await step('the schema Job creates databases and schemas', () => temporal.updateSchemas());
  await step('the schema Job changes nothing when it runs again', () => temporal.updateSchemas());
  stops.push(() => temporal.stop());
  await step('frontend, history, matching and worker are ready by their probes', async () => {
    await temporal.startAll();
    for (const { service, address, health, process } of temporal.probes()) {
      const connection = Connection.lazy({ address });
      await process.waitFor(async () => {
        const answer = await connection.healthService.check({ service: health }).catch(() => undefined);
        // SERVING
        return answer?.status === 1;
      }, 180_000);
      await connection.close();
      if (!(await temporal.metrics(service)).includes('service_name=')) throw new Error(`${service} has no metrics`);
    }
  });
  await step('the namespace Job creates the namespace, and may run again', () => {
    temporal.createNamespace();
    temporal.createNamespace();
  });
  const connection = await Connection.connect({ address: temporal.address });
  stops.push(() => connection.close());
  const client = new Client({ connection, namespace: NAMESPACE });
  await until('the namespace', () => client.workflow.count().then(() => true));

  const server = await startClickHouse({ dir: join(dir, 'clickhouse') });
  stops.push(() => server.stop());
  const { clickhouse, url } = await makeDatabase(server.url, 'production');
  stops.push(() => clickhouse.close());
  const worker = new WorkerProcess({
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: NAMESPACE,
    INSTALLATION,
    CLICKHOUSE_URL: url,
    ARCHIVE_URL: FIXTURES,
    GEOIP_DIR: join(FIXTURES, '../geoip'),
    WORKER_DRAIN_TIMEOUT: '20',
  });
  stops.push(() => worker.kill());
  await step('a worker of the pipeline registers its search attributes', () =>
    worker.says(/working for Temporal/, 300_000),
  );

  const filter = normaliseFilter({});
  const id = `${INSTALLATION}/backfill`;
  const input: BackfillInput = {
    ...DAYS,
    installation: INSTALLATION,
    granularity: 'Day',
    filter,
    filterID: filterIDOf(filter),
    stages: ['Observations', 'Analysis'],
    order: 'OldestFirst',
    reprocess: 'None',
    maxActiveRuns: 2,
    suspended: false,
    dryRun: false,
    attempt: 1,
  };
  const KEY = (name: string) => defineSearchAttributeKey(name, 'KEYWORD');
  const progress = await step(
    'a backfill completes although the history service is killed',
    async () => {
      // As docs/compose.md describes it.
      const attributes = { OoniInstallation: INSTALLATION, OoniFilter: input.filterID, OoniBackfill: id };
      const options = {
        '--address': temporal.address,
        '--namespace': NAMESPACE,
        '--type': WORKFLOWS.backfill,
        '--task-queue': queuesOf(INSTALLATION).workflows,
        '--workflow-id': id,
        '--input': JSON.stringify(input),
      };
      const args = ['workflow', 'start', ...Object.entries(options).flat()];
      for (const [name, value] of Object.entries(attributes))
        args.push('--search-attribute', `${name}=${JSON.stringify(value)}`);
      const env = { HOME: dir, TEMPORAL_CONFIG_FILE: '/dev/null' };
      // The services read new search attributes with a delay when they are in a search engine.
      await until('the start of the backfill', async () => {
        try {
          execFileSync(programPath('temporal'), args, { env, stdio: 'pipe' });
        } catch (error) {
          if (/search attribute/.test(String((error as { stderr?: Buffer }).stderr))) return undefined;
          throw error;
        }
        return true;
      });
      const handle = client.workflow.getHandle<(input: BackfillInput) => Promise<BackfillProgress>>(id);
      await until('the first bucket', async () => {
        const now = await handle.query<BackfillProgress>(BACKFILL_MESSAGES.progress);
        return now.succeeded > 0 || undefined;
      });
      await temporal.kill('history');
      await temporal.start('history');
      return await handle.result();
    },
    it => `${it.succeeded} buckets, ${it.skipped} skipped, ${it.counts.read} measurements`,
  );
  equal('phase', progress.phase, 'Complete');

  await step(
    'the rows are those of the fixtures',
    async () => {
      const days = [...new Set(expectedMeasurements().map(({ key }) => key.match(/\d{8}/)![0]))]
        .map(day => `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`)
        .filter(day => day >= DAYS.startAt && day < DAYS.endAt);
      let total = 0;
      for (const table of ['obs_web', 'obs_web_ctrl']) {
        const rows = await clickhouse.select<{ uid: string; n: number }>(
          `SELECT measurement_uid AS uid, count() AS n FROM ${table} FINAL GROUP BY uid ORDER BY uid`,
        );
        const found = rows.map(({ uid, n }) => [uid, Number(n)]);
        equal(
          table,
          found,
          [...expectedRows(table, days)].sort(([a], [b]) => (a < b ? -1 : 1)),
        );
        total += found.reduce((sum, [, n]) => sum + (n as number), 0);
      }
      if (total === 0) throw new Error('the fixtures have no rows in this range');
      return total;
    },
    total => `${total} rows`,
  );

  const list = async (query: string) => {
    const found: WorkflowExecutionInfo[] = [];
    for await (const one of client.workflow.list({ query })) found.push(one);
    return found;
  };
  const ran = progress.succeeded;
  await step(
    'workflows are listed by OoniBackfill, OoniBucket and OoniInstallation',
    async () => {
      // Visibility follows the workflows with a delay.
      const runs = await until('the runs in visibility', async () => {
        const found = await list(
          `OoniBackfill = '${id}' AND WorkflowType = '${WORKFLOWS.bucket}' AND ExecutionStatus = 'Completed'`,
        );
        return found.length === ran ? found : undefined;
      });
      const buckets = runs.map(one => one.typedSearchAttributes.get(KEY('OoniBucket'))!).sort();
      const late = await list(
        `OoniInstallation = '${INSTALLATION}' AND OoniBucket >= '${buckets[1]}' AND WorkflowType = '${WORKFLOWS.bucket}'`,
      );
      equal(
        'buckets from the second on',
        late.map(one => one.typedSearchAttributes.get(KEY('OoniBucket'))!).sort(),
        buckets.slice(1),
      );
      equal('another installation', (await list("OoniInstallation = 'other'")).length, 0);
      const { count, groups } = await client.workflow.count(`OoniBackfill = '${id}' GROUP BY ExecutionStatus`);
      equal('count', [count, groups?.length], [ran + 1, 1]);
      return runs.length;
    },
    runs => `${runs} runs`,
  );
  await step(
    'visibility is stored where the chart puts it',
    async () => {
      if (!engine) return Number(postgresql.query('SELECT count(*) FROM executions_visibility', 'temporal_visibility'));
      await until('all documents in the index', async () => {
        const { count } = (await engine.get('/temporal_visibility_v1/_count')) as { count: number };
        return count > ran || undefined;
      });
      equal(
        'database of visibility',
        postgresql.query("SELECT count(*) FROM pg_database WHERE datname = 'temporal_visibility'"),
        '0',
      );
      return ((await engine.get('/temporal_visibility_v1/_count')) as { count: number }).count;
    },
    count => `${count} workflows`,
  );
  await step('a schedule fires (it is a workflow of the service worker)', async () => {
    const schedule = await client.schedule.create({
      scheduleId: 'probe',
      spec: { cronExpressions: ['0 0 1 1 *'] },
      action: {
        type: 'startWorkflow',
        workflowType: WORKFLOWS.bucket,
        workflowId: 'probe',
        taskQueue: 'nobody',
        args: [],
      },
    });
    await schedule.trigger();
    await until(
      'the run of the schedule',
      async () => (await list("TemporalScheduledById = 'probe'")).length > 0 || undefined,
    );
    await schedule.delete();
  });
}

const asked = process.argv.slice(2);
const unknown = asked.filter(one => !VISIBILITIES.includes(one as Visibility));
if (unknown.length > 0) {
  console.error(`${unknown.join(', ')}: not one of ${VISIBILITIES.join(', ')}`);
  process.exit(2);
}
await bundleWorkflows();
for (const visibility of asked.length > 0 ? (asked as Visibility[]) : (['postgresql'] as const)) {
  await run(visibility).catch(error => {
    if (failed === 0) {
      failed++;
      console.error(error);
    }
  });
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
