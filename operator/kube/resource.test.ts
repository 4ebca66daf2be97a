import { expect, it } from 'vitest';
import { DEPLOYMENTS, PODS } from './builtin.ts';
import {
  compareVersions,
  controllerReference,
  defineResource,
  type KubeObject,
  keyOf,
  ownerKeys,
  pathOf,
  type Stored,
  strip,
} from './resource.ts';

const NODES = defineResource({ group: '', version: 'v1', plural: 'nodes', kind: 'Node', namespaced: false });

it('writes the paths of the Kubernetes API', () => {
  expect(pathOf(PODS)).toBe('/api/v1/pods');
  expect(pathOf(PODS, 'a', 'b')).toBe('/api/v1/namespaces/a/pods/b');
  expect(pathOf(DEPLOYMENTS, 'a', 'b', 'scale')).toBe('/apis/apps/v1/namespaces/a/deployments/b/scale');
  expect(pathOf(NODES, undefined, 'n')).toBe('/api/v1/nodes/n');
  expect(pathOf(PODS, 'a', '../secrets')).toBe('/api/v1/namespaces/a/pods/..%2Fsecrets');
});

it('orders versions as integers of any size', () => {
  expect(compareVersions('9', '10')).toBeLessThan(0);
  expect(compareVersions('10', '10')).toBe(0);
  // Beyond 2^53, where JavaScript numbers are equal.
  expect(compareVersions('9007199254740993', '9007199254740992')).toBeGreaterThan(0);
  expect(compareVersions('', '1')).toBeLessThan(0);
});

it('builds keys', () => {
  expect(keyOf({ metadata: { name: 'b', namespace: 'a' } })).toBe('a/b');
  expect(keyOf({ name: 'b' })).toBe('b');
});

it('finds only the managing owner of the right group and kind', () => {
  const owner = { metadata: { name: 'web', namespace: 'a', uid: 'u', resourceVersion: '1' } };
  const object = (reference: object): KubeObject => ({
    metadata: {
      name: 'x',
      namespace: 'a',
      ownerReferences: [{ ...controllerReference(DEPLOYMENTS, owner), ...reference }],
    },
  });
  const keys = ownerKeys(DEPLOYMENTS);
  expect(keys(object({}))).toEqual(['a/web']);
  expect(keys(object({ apiVersion: 'apps/v2' }))).toEqual(['a/web']);
  expect(keys(object({ controller: false }))).toEqual([]);
  expect(keys(object({ kind: 'StatefulSet' }))).toEqual([]);
  expect(keys(object({ apiVersion: 'example.org/v1' }))).toEqual([]);
  expect(keys({ metadata: { name: 'x' } })).toEqual([]);
  expect(ownerKeys(NODES)(object({ apiVersion: 'v1', kind: 'Node', name: 'n' }))).toEqual(['n']);
});

it('strips managedFields and the last applied configuration, and nothing else', () => {
  const object: Stored = {
    metadata: {
      name: 'x',
      uid: 'u',
      resourceVersion: '1',
      managedFields: [{}],
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', kept: 'yes' },
    },
  };
  expect(strip(object).metadata).toEqual({ name: 'x', uid: 'u', resourceVersion: '1', annotations: { kept: 'yes' } });
});
