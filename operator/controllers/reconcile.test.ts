import { expect, test } from 'vitest';
import type { KubeObject } from '../kube/resource.ts';
import { needsPass, WrittenStatus } from './reconcile.ts';

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
