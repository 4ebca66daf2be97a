import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import protobuf from '@temporalio/proto';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { beforeAll, expect, test } from 'vitest';
import { RunMetrics } from '../../pipeline/runs/metrics.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { startTracing } from '../../pipeline/telemetry/tracing.ts';
import { replayErrors } from '../../test/support/histories.ts';
import { OtlpCollector } from '../../test/support/otlp-collector.ts';
import { workflowSinks } from '../tracing.ts';
import { workflowCode } from '../workflow-bundle.ts';

/**
 * Recorded histories of workflows of every kind that ended in every way. A change of workflow code that would have decided otherwise
 * breaks the workflows that run during its deployment. Guard such a change with `patched()`, or, before the first release, record the
 * histories again: RECORD_HISTORIES=$PWD/test/fixtures/histories npx vitest run --project integration backfill.test reference-schedules
 */
const HISTORIES = join(import.meta.dirname, '../../test/fixtures/histories');

beforeAll(() => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
});

test('every recorded history replays', { timeout: 300_000 }, async () => {
  const histories = readdirSync(HISTORIES).map(read);
  expect(histories.length).toBeGreaterThan(10);
  expect(await replayErrors(histories)).toEqual([]);
});

test('the end of a workflow is a span whose ids come from its run id', { timeout: 120_000 }, async () => {
  const collector = await OtlpCollector.start();
  const log = createLogger('test', { log_level: 'fatal', log_format: 'json' });
  const endpoint = { telemetry_endpoint: collector.endpoint, installation: 'test' };
  const tracing = await startTracing(endpoint, 'ooni-worker', log);
  const metrics = new RunMetrics();
  const { workflows } = workflowSinks(tracing, metrics, log);
  // A replay reports the end only when it is asked to.
  const sinks = { workflows: { ended: { ...workflows.ended, callDuringReplay: true } } };
  const histories = ['test_ALLCCS-ALLTNS_2024-01-22', 'test_ALLCCS-ALLTNS_2024-03-04'].map(id => read(`${id}.pb.gz`));
  for await (const { error } of Worker.runReplayHistories({ ...workflowCode(), sinks }, histories)) {
    expect(error).toBeUndefined();
  }
  await tracing?.close();
  collector.stop();
  // The first run belongs to a schedule and ended years after its day; the second failed.
  const text = await metrics.registry.metrics();
  expect(text).toContain('ooni_bucket_delay_seconds_count 1');
  expect(text).toContain('ooni_bucket_delay_seconds_bucket{le="604800"} 0');
  const runIDs = histories.map(({ history }) =>
    history.events[0]!.workflowExecutionStartedEventAttributes!.originalExecutionRunId!.replaceAll('-', ''),
  );
  expect(collector.spans).toMatchObject([
    {
      ...{ name: 'workflow BucketWorkflow', service: 'ooni-worker', parentID: '', failed: false },
      ...{ traceID: runIDs[0], spanID: runIDs[0]!.slice(16) },
      attributes: { 'ooni.bucket': '2024-01-22', 'ooni.read': 23, 'ooni.transformed': 23 },
    },
    {
      ...{ name: 'workflow BucketWorkflow', traceID: runIDs[1], failed: true },
      attributes: { 'ooni.bucket': '2024-03-04', 'ooni.failed': 2 },
    },
  ]);
});

function read(file: string) {
  const history = protobuf.temporal.api.history.v1.History.decode(gunzipSync(readFileSync(join(HISTORIES, file))));
  return { workflowId: file, history };
}
