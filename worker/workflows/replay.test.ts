import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import protobuf from '@temporalio/proto';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { beforeAll, expect, test } from 'vitest';
import { replayErrors } from '../../test/support/histories.ts';

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
  const histories = readdirSync(HISTORIES).map(file => ({
    workflowId: file,
    history: protobuf.temporal.api.history.v1.History.decode(gunzipSync(readFileSync(join(HISTORIES, file)))),
  }));
  expect(histories.length).toBeGreaterThan(10);
  expect(await replayErrors(histories)).toEqual([]);
});
