import { expect, test } from 'vitest';
import { FINALIZER } from '../../crds/resource.ts';
import type { Client } from '../kube/client.ts';
import type { KubeObject, Stored } from '../kube/resource.ts';
import { claim, installationScope, needsClaim } from './installation.ts';
import { BACKFILLS } from './resources.ts';

const resource = (installation?: string): KubeObject => ({
  metadata: { name: 'x', labels: installation === undefined ? {} : { 'pipeline.ooni.org/installation': installation } },
});

test('an operator handles the resources of its installation, and one of them also those without a label', () => {
  const { select, labelSelector } = installationScope('a', true);
  expect(labelSelector).toBeUndefined();
  expect(['a', 'b', undefined].map(label => select?.(resource(label)))).toEqual([true, false, true]);
  expect(installationScope('b', false)).toEqual({ labelSelector: 'pipeline.ooni.org/installation=b' });
});

test('only a resource without a label is claimed', () => {
  expect([resource(), resource('a'), { metadata: { name: 'x' } }].map(needsClaim)).toEqual([true, false, true]);
});

test('a claim adds label and finalizer in one request, and no finalizer to a resource that is being deleted', async () => {
  const patches: unknown[] = [];
  const client = { patch: async (...args: unknown[]) => patches.push(args[2]) } as unknown as Client;
  const marks = { installation: 'a', finalizer: FINALIZER };
  const claimed = async (metadata: object) => {
    const object = { metadata: { name: 'x', uid: 'u', resourceVersion: '7', ...metadata } } as Stored<KubeObject>;
    await claim(client, BACKFILLS as never, object, marks, new AbortController().signal);
    return (patches.at(-1) as { metadata: object }).metadata;
  };
  const label = { uid: 'u', resourceVersion: '7', labels: { 'pipeline.ooni.org/installation': 'a' } };
  expect(await claimed({ finalizers: ['other'] })).toEqual({ ...label, finalizers: ['other', FINALIZER] });
  expect(await claimed({ finalizers: [FINALIZER] })).toEqual(label);
  expect(await claimed({ deletionTimestamp: '2026-01-01T00:00:00Z' })).toEqual(label);
  expect(patches).toHaveLength(3);
});
