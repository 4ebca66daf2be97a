import pino from 'pino';
import { describe, expect, test } from 'vitest';
import type { Condition } from '../../crds/conditions.ts';
import { INSTALLATION_LABEL } from '../../crds/resource.ts';
import { reconcileContext } from '../../test/support/reconcile-context.ts';
import { ConflictError, errorFor, ForbiddenError, NotFoundError } from '../kube/errors.ts';
import { createInstruments } from '../kube/instruments.ts';
import { LeaseLostError } from '../kube/lease.ts';
import type { KubeObject } from '../kube/resource.ts';
import { TemporalUnavailable } from '../temporal/errors.ts';
import { needsPass, reconciler, WrittenStatus } from './reconcile.ts';
import { WORKER_POOLS } from './resources.ts';

type Object = KubeObject & { status?: object };
const object = (over: object = {}): Object =>
  ({ apiVersion: 'v1', kind: 'X', metadata: { name: 'a', uid: 'u', generation: 1 }, ...over }) as Object;
const modified = (previous: Object, now: Object) => ({ type: 'modified', previous, object: now }) as never;

test('a status by another writer needs a pass, our own does not', () => {
  const written = new WrittenStatus();
  const ours = { phase: 'Complete', conditions: [{ type: 'Ready' }], links: undefined };
  written.note(object(), ours);
  expect(needsPass(written, modified(object(), object({ status: { ...ours } })))).toBe(false);
  expect(needsPass(written, modified(object({ status: ours }), object()))).toBe(true);
  expect(needsPass(written, modified(object({ status: ours }), object({ status: { phase: 'Failed' } })))).toBe(true);
});

test('a new process, which has written nothing, accepts any status', () => {
  expect(needsPass(new WrittenStatus(), modified(object(), object({ status: { phase: 'Complete' } })))).toBe(false);
});

test('a deleted object is forgotten', () => {
  const written = new WrittenStatus();
  written.note(object(), { phase: 'Complete' });
  expect(needsPass(written, { type: 'deleted', object: object() } as never)).toBe(true);
  expect(written.differs(object({ status: {} }))).toBe(false);
});

test('a change of spec, finalizers, annotations or deletion needs a pass', () => {
  const written = new WrittenStatus();
  for (const change of [
    { generation: 2 },
    { finalizers: ['f'] },
    { annotations: { a: 'b' } },
    { deletionTimestamp: 't' },
  ]) {
    const { metadata } = object();
    expect(needsPass(written, modified(object(), object({ metadata: { ...metadata, ...change } })))).toBe(true);
  }
});

/** Makes one pass over an object with this status. `apply` receives the object with the new status, which is `next` and the conditions. */
function makePass(
  observe: () => Promise<object>,
  apply: (object: never) => Promise<unknown>,
  status?: object,
  { next = {}, log = pino({ level: 'silent' }) }: { next?: object; log?: pino.Logger } = {},
) {
  const context = reconcileContext({ apply: (_: unknown, object: never) => apply(object) });
  const metadata = { name: 'main', uid: 'u', resourceVersion: '1', labels: { [INSTALLATION_LABEL]: 'ooni' } };
  const pass = reconciler(context, {
    resource: WORKER_POOLS,
    observe,
    plan: () => ({ actions: [], summary: { kind: 'ready', reason: 'Available', message: '.' }, own: [] }),
    apply: async () => false,
    status: () => next,
  });
  const object = { metadata, status } as never;
  const instruments = createInstruments({ log });
  return pass('main', { object, now: 0, signal: new AbortController().signal, log: instruments.log });
}

test('a status that meets a conflict is written by another pass, and one of an object that is gone is not', async () => {
  const fails = (error: Error) =>
    makePass(
      async () => ({}),
      () => Promise.reject(error),
    );
  const request = 'PATCH /apis/pipeline.ooni.org/v1alpha1/namespaces/data/workerpools/main/status';
  await expect(fails(new ConflictError(request, 409, {}))).rejects.toThrow(ConflictError);
  await expect(fails(new NotFoundError(request, 404, {}))).resolves.toBeUndefined();
});

describe('the log of the operator', () => {
  /** Returns the line of a pass that changes what blocks a run; undefined: the pass writes none. */
  async function lineAfter(before: object | undefined, now: object | undefined) {
    const lines: string[] = [];
    const log = pino({ base: null, timestamp: false }, { write: (line: string) => lines.push(line) });
    const blocked = (blockedBy?: object) => (blockedBy ? { blockedBy } : {});
    await makePass(
      async () => ({}),
      async () => {},
      blocked(before),
      { next: blocked(now), log },
    );
    expect(lines.length).toBeLessThan(2);
    const { level: _, ...line } = JSON.parse(lines[0] ?? '{}');
    return lines.length > 0 ? line : undefined;
  }
  const archive = { bucket: '2024-01-22', reason: 'ArchiveSlow', message: 'the archive is slow' };
  const worker = { bucket: '2024-01-22', reason: 'NoWorker', message: 'no worker has taken it up' };
  const said = {
    bucket: '2024-01-22',
    reason: 'NoWorker',
    msg: 'the run of 2024-01-22 waits: no worker has taken it up',
  };

  test('says when a run begins to wait, or waits for something else', async () => {
    expect(await lineAfter(undefined, worker)).toEqual(said);
    expect(await lineAfter(archive, worker)).toEqual(said);
    const { bucket: _, ...planning } = worker;
    expect(await lineAfter(undefined, planning)).toMatchObject({ msg: 'the plan waits: no worker has taken it up' });
  });

  test('says when a run does not wait any more', async () => {
    const line = { bucket: '2024-01-22', msg: 'the run of 2024-01-22 does not wait any more' };
    expect(await lineAfter(worker, undefined)).toEqual(line);
  });

  test('says nothing while a run waits for the same', async () => {
    expect(await lineAfter(worker, { ...worker, message: 'it still waits' })).toBeUndefined();
    expect(await lineAfter(undefined, undefined)).toBeUndefined();
  });
});

describe('a state that cannot be observed', () => {
  /** Makes one pass whose observation fails, and returns the conditions that it writes. */
  async function conditionsAfter(error: Error, status?: object) {
    const written: { status: { conditions: Condition[]; backlog?: number } }[] = [];
    const pass = makePass(
      () => Promise.reject(error),
      async object => written.push(object),
      status,
    );
    await expect(pass).rejects.toThrow();
    return written[0]?.status;
  }

  test('reaches the status, which keeps its figures', async () => {
    const error = new ForbiddenError('GET /apis/apps/v1/deployments', 403, { message: 'no permission' });
    const status = await conditionsAfter(error, { backlog: 7 });
    expect(status?.backlog).toBe(7);
    expect(status?.conditions).toMatchObject([
      { type: 'Ready', status: 'False', reason: 'Rejected', message: expect.stringContaining('no permission') },
      { type: 'Stalled' },
    ]);
    expect((await conditionsAfter(new TemporalUnavailable('no connection')))?.conditions).toMatchObject([
      { type: 'Ready', status: 'Unknown', reason: 'TemporalUnavailable' },
    ]);
  });

  test('an API server that does not know the kind yet is tried again soon, and nothing is stalled', async () => {
    const message =
      'cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion a/v1 Kind X';
    const error = errorFor('PATCH /apis/apps/v1/namespaces/a/deployments/x', 403, { message });
    const status = await conditionsAfter(error);
    expect(status?.conditions).toMatchObject([
      { type: 'Ready', status: 'False', reason: 'RequestFailed', message: expect.stringContaining('new kinds') },
      { type: 'Reconciling', status: 'True' },
    ]);
    const pass = makePass(
      () => Promise.reject(error),
      async () => {},
    );
    await expect(pass).rejects.toMatchObject({ name: 'RateLimitedError', after: 2_000 });
  });

  test('a message that ends with a full stop gets no second one', async () => {
    const status = await conditionsAfter(new TemporalUnavailable('Namespace is not ready.'));
    expect(status?.conditions[0]?.message).toBe('Namespace is not ready. The operator retries it.');
  });

  test('a lost lease writes nothing', async () => {
    expect(await conditionsAfter(new LeaseLostError('lost'))).toBeUndefined();
  });
});
