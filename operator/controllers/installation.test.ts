import { expect, test } from 'vitest';
import type { KubeObject } from '../kube/resource.ts';
import { installationScope, needsClaim } from './installation.ts';

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
