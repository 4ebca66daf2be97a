import { expect, test } from 'vitest';
import { FINALIZER, INSTALLATION_LABEL } from '../../crds/resource.ts';
import { instruments } from '../../test/support/kube.ts';
import { reconcileContext } from '../../test/support/reconcile-context.ts';
import { systemClock } from '../kube/clock.ts';
import { Ledger } from '../ledger.ts';
import type { Temporal } from '../temporal/connection.ts';
import { backfillReconciler } from './backfill/reconciler.ts';
import { scheduleReconciler } from './pipeline-schedule/reconciler.ts';
import { Polling } from './polling.ts';

const TIME = '2026-01-01T00:00:00Z';
const labels = { [INSTALLATION_LABEL]: 'ooni' };
const ui = { url: '', namespace: 'default' };

/** Makes one pass over an object and returns the requests to both systems, of which Temporal does not exist. */
async function requestsFor(kind: 'Backfill' | 'PipelineSchedule', object: object): Promise<string[]> {
  const requests: string[] = [];
  const request =
    (what: string) =>
    async (...[, , patch]: unknown[]) => {
      const changes = Object.keys((patch as { metadata?: object } | undefined)?.metadata ?? {});
      requests.push([what, ...changes.filter(field => !['uid', 'resourceVersion'].includes(field))].join(' '));
    };
  const call = async () => {
    requests.push('temporal');
    throw new Error('no Temporal in this test');
  };
  const temporal = { call, write: call } as unknown as Temporal;
  const context = reconcileContext({ patch: request('patch'), apply: request('status') });
  const sources = { temporal, ui, polling: new Polling(100), blockedElsewhere: async () => undefined };
  const ledger = new Ledger({ clickhouse_url: 'http://127.0.0.1:1/db', clickhouse_cluster: '' }, systemClock);
  const pass =
    kind === 'Backfill'
      ? backfillReconciler(context, sources)
      : scheduleReconciler(context, { ...sources, ledger, callsPerSecond: 100 });
  const { log } = instruments();
  await pass('data/one', { object: object as never, now: Date.parse(TIME), signal: new AbortController().signal, log });
  return requests;
}

const SPECS = { Backfill: { startAt: '2024-01-01', endAt: '2024-01-03' }, PipelineSchedule: { schedule: '0 2 * * *' } };
const made = (kind: keyof typeof SPECS, metadata: object, status?: object) => ({
  metadata: { name: 'one', namespace: 'data', uid: 'u', resourceVersion: '1', generation: 1, ...metadata },
  spec: SPECS[kind],
  ...(status && { status }),
});

test.each(['Backfill', 'PipelineSchedule'] as const)('a new %s gets label and finalizer in one request', async kind => {
  expect(await requestsFor(kind, made(kind, {}))).toEqual(['patch labels finalizers']);
});

test.each(['Backfill', 'PipelineSchedule'] as const)(
  'a %s with the label gets the finalizer before Temporal is asked',
  async kind => {
    expect(await requestsFor(kind, made(kind, { labels }))).toEqual(['patch finalizers', 'status']);
  },
);

test('a Backfill that has ended causes no request at all', async () => {
  const condition = (type: string, reason: string, message: string) => ({
    ...{ type, status: 'True', reason, message, observedGeneration: 1, lastTransitionTime: TIME },
  });
  const counts = '2 of 2 buckets succeeded, 0 failed, 0 were skipped.';
  const ended = made(
    'Backfill',
    { labels, finalizers: [FINALIZER] },
    {
      ...{ observedGeneration: 1, phase: 'Complete', workflowID: 'ooni/backfill/data/one-u' },
      ...{ startedAt: TIME, finishedAt: TIME, seenAt: TIME, attempt: 1 },
      conditions: [
        condition('Ready', 'Ended', `The backfill has ended. ${counts}`),
        condition('Complete', 'AllBucketsDone', counts),
      ],
    },
  );
  expect(await requestsFor('Backfill', ended)).toEqual([]);
});

test('a new leader finds nothing to write for a running Backfill whose status the former leader wrote', async () => {
  let state: object = {};
  let object = made('Backfill', { labels, finalizers: [FINALIZER] });
  let writes = 0;
  const apply = async (_: unknown, { status }: { status: object }) => {
    writes++;
    object = { ...object, status };
  };
  const temporal = { call: async () => state } as unknown as Temporal;
  const leader = () =>
    backfillReconciler(reconcileContext({ apply }), {
      ...{ temporal, ui, polling: new Polling(100), blockedElsewhere: async () => undefined },
    });
  const start = Date.parse(TIME);
  /** Passes over the Backfill when so many of its 100 buckets are done, one a minute. */
  const pass = (of: ReturnType<typeof leader>, succeeded: number) => {
    const counts = { files: 0, read: succeeded * 600, bytes: succeeded * 6_000_000 };
    const progress = {
      total: 100,
      succeeded,
      failed: 0,
      skipped: 0,
      active: 4,
      counts,
      attempt: 1,
      failures: [],
      maxActiveRuns: 4,
    };
    state = {
      state: 'running',
      startedAt: start,
      attempt: 1,
      progress: { ...progress, phase: 'Running', messages: 0 },
    };
    const { log } = instruments();
    const now = start + succeeded * 60_000;
    return of('data/one', { object: object as never, now, signal: new AbortController().signal, log });
  };
  const former = leader();
  for (const succeeded of [0, 1, 2, 3]) await pass(former, succeeded);
  expect(object).toMatchObject({ status: { rate: { bucketsPerHour: 60 }, eta: '2026-01-01T01:40:00Z' } });
  writes = 0;
  await pass(leader(), 3);
  expect(writes).toBe(0);
});
