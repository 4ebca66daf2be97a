import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { freePort } from '../../pipeline/free-port.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { CODE_VERSION } from '../../pipeline/version.ts';
import { queuesOf, WORKFLOWS } from '../../worker/contract.ts';
import { makeDatabase } from '../support/database.ts';
import { expectedRows, FIXTURES } from '../support/fixtures.ts';
import { makeNamespace, runInput, startRun, WorkerProcess } from '../support/worker.ts';

const DAY = '2023-11-27';
const GEOIP = join(FIXTURES, '../geoip');
let client: Client;
let clickhouse: ClickHouse;
let env: Record<string, string>;
let worker: WorkerProcess;
let health: string;

beforeAll(async () => {
  const database = await makeDatabase(inject('clickhouseUrl'), 'worker', { migrated: false });
  clickhouse = database.clickhouse;
  const made = await makeNamespace(inject('temporalAddress'), 'worker');
  client = made.client;
  health = `127.0.0.1:${await freePort()}`;
  env = {
    TEMPORAL_ADDRESS: inject('temporalAddress'),
    TEMPORAL_NAMESPACE: made.namespace,
    CLICKHOUSE_URL: database.url,
    ARCHIVE_URL: FIXTURES,
    GEOIP_DIR: GEOIP,
    WORKER_HEALTH_ADDRESS: health,
    POD_NAME: 'worker-test-pod',
    WORKER_DRAIN_TIMEOUT: '20',
  };
  worker = new WorkerProcess(env);
  await worker.says(/working for Temporal/);
});
afterAll(async () => {
  await worker?.kill();
  await client?.connection.close();
  await clickhouse?.close();
});

async function rowsOf(table: string): Promise<Map<string, number>> {
  const rows = await clickhouse.select<{ uid: string; n: number }>(
    `SELECT measurement_uid AS uid, count() AS n FROM ${table} WHERE bucket_date = '${DAY}' GROUP BY uid`,
  );
  return new Map(rows.map(({ uid, n }) => [uid, n]));
}

describe('a worker', () => {
  test('is ready, and exports metrics', async () => {
    expect((await fetch(`http://${health}/readyz`)).status).toBe(200);
    expect((await fetch(`http://${health}/healthz`)).status).toBe(200);
    expect(await (await fetch(`http://${health}/metrics`)).text()).toContain('ooni_measurements_total');
  });

  test('turns a bucket of the archive into rows', async () => {
    const handle = await startRun(client, runInput(DAY));
    const result = await handle.result();
    expect(result).toMatchObject({ bucket: DAY, counts: { read: 134, transformed: 134, failed: 0 }, analysedDays: [] });
    for (const table of ['obs_web', 'obs_web_ctrl']) expect(await rowsOf(table)).toEqual(expectedRows(table, [DAY]));
    const [run] = await clickhouse.select(
      'SELECT generation, state, workflow_id, rows_stored, code_version, reference_versions FROM pipeline_runs FINAL',
    );
    expect(run).toEqual({
      generation: result.generation,
      state: 'completed',
      workflow_id: handle.workflowId,
      rows_stored: result.counts.rows,
      code_version: CODE_VERSION,
      reference_versions: { ip: openIpMetadata(GEOIP).version },
    });
    const { startTime } = await handle.describe();
    expect(result.generation).toBe(startTime.getTime());
    const metrics = await (await fetch(`http://${health}/metrics`)).text();
    expect(metrics).toContain('ooni_measurements_total{status="transformed"} 134');
  });

  test('an empty bucket takes one activity', async () => {
    const handle = await startRun(client, runInput('2023-01-01', ['Observations', 'Analysis']));
    expect(await handle.result()).toMatchObject({ counts: { files: 0 }, analysedDays: [] });
    const recorded = await clickhouse.select(
      "SELECT stage, state FROM pipeline_runs FINAL WHERE bucket = '2023-01-01' ORDER BY stage",
    );
    expect(recorded).toEqual(['Analysis', 'Observations'].map(stage => ({ stage, state: 'completed' })));
    const { events } = await handle.fetchHistory();
    const scheduled = events?.filter(event => event.activityTaskScheduledEventAttributes);
    expect(scheduled?.map(event => event.activityTaskScheduledEventAttributes?.activityType?.name)).toEqual([
      'planRun',
    ]);
  });

  test('an invalid argument fails at once, with a message', async () => {
    const handle = await startRun(client, runInput('2023-13-01'));
    await expect(handle.result()).rejects.toMatchObject({
      cause: { type: 'InvalidRun', message: expect.stringContaining('"2023-13-01" is not a day of the calendar') },
    });
  });

  test('refuses a run of another installation, and writes nothing for it', async () => {
    const handle = await client.workflow.start(WORKFLOWS.bucket, {
      workflowId: 'other/ALLCCS-ALLTNS/2024-01-22',
      taskQueue: queuesOf('test').workflows,
      args: [{ ...runInput('2024-01-22'), installation: 'other' }],
    });
    await expect(handle.result()).rejects.toMatchObject({
      cause: { type: 'OtherInstallation', message: expect.stringContaining('oonipipeline-other-workflows') },
    });
    const recorded = await clickhouse.select("SELECT 1 FROM pipeline_runs WHERE bucket = '2024-01-22'");
    expect(recorded).toEqual([]);
  });

  test('neither secrets nor large data go through Temporal', async () => {
    const handle = client.workflow.getHandle(`test/ALLCCS-ALLTNS/${DAY}`);
    const history = await handle.fetchHistory();
    const bytes = Buffer.from(JSON.stringify(history));
    expect(bytes.length).toBeLessThan(100_000);
    expect(bytes.toString()).not.toContain(new URL(env.CLICKHOUSE_URL!).pathname);
  });

  test('its slots and its name are visible from outside', async () => {
    const found = await expect.poll(
      async () => {
        const { workersInfo } = await client.connection.workflowService.listWorkers({
          namespace: env.TEMPORAL_NAMESPACE!,
        });
        // The server has workers of its own in each namespace.
        return (workersInfo ?? [])
          .filter(each => each.workerHeartbeat?.workerIdentity === 'worker-test-pod')
          .map(each => `${each.workerHeartbeat?.workerIdentity} ${each.workerHeartbeat?.taskQueue}`)
          .sort();
      },
      { timeout: 100_000 },
    );
    await found.toEqual([
      'worker-test-pod oonipipeline-test-activities',
      'worker-test-pod oonipipeline-test-workflows',
    ]);
  });

  test('stops on request', async () => {
    expect(await worker.stop()).toBe(0);
    expect(worker.output).toMatch(/taking no more tasks/);
  });
});
