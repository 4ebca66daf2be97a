import { describe, expect, test } from 'vitest';
import {
  ContainerConfigError,
  containerEnvironment,
  expand,
  parseQuantity,
  unmountable,
  type ValueSources,
} from './environment.ts';
import type { Container, PodSpec, StoredPod } from './resources.ts';

const facts = { podIP: '127.64.0.1', hostIP: '127.0.0.1' };
const pod = {
  metadata: { name: 'p', namespace: 'n', uid: 'u', resourceVersion: '1', annotations: { a: 'note' } },
  spec: { nodeName: 'local', serviceAccountName: 'sa' },
} as unknown as StoredPod;
const sources: ValueSources = {
  configMap: async (namespace, name) => (namespace === 'n' && name === 'config' ? { A: '1', B: '2' } : undefined),
  secret: async (_, name) => (name === 'secret' ? { KEY: 's' } : undefined),
};
const environment = (container: Partial<Container>) =>
  containerEnvironment(pod, { name: 'c', ...container } as Container, facts, sources);

describe('variables', () => {
  test('come from maps first; later ones win and may name earlier ones', async () => {
    const env = await environment({
      envFrom: [{ configMapRef: { name: 'config' } }, { secretRef: { name: 'secret' }, prefix: 'X_' }],
      env: [{ name: 'B', value: '$(A)+$(LATER)' }, { name: 'LATER', value: '$(B)' }, { name: 'EMPTY' }],
    });
    expect(env).toEqual({ A: '1', X_KEY: 's', B: '1+$(LATER)', LATER: '1+$(LATER)', EMPTY: '' });
  });

  test('come from fields of the pod', async () => {
    const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
    const env = await environment({
      env: [
        field('NAME', 'metadata.name'),
        field('NOTE', "metadata.annotations['a']"),
        field('NONE', "metadata.labels['x']"),
        field('NODE', 'spec.nodeName'),
        field('ACCOUNT', 'spec.serviceAccountName'),
        field('IP', 'status.podIP'),
        field('HOST', 'status.hostIP'),
      ],
    });
    expect(env).toEqual({
      NAME: 'p',
      NOTE: 'note',
      NONE: '',
      NODE: 'local',
      ACCOUNT: 'sa',
      IP: '127.64.0.1',
      HOST: '127.0.0.1',
    });
  });

  test.each([
    [{ configMapKeyRef: { name: 'none', key: 'k' } }, 'configmap "none" not found'],
    [{ configMapKeyRef: { name: 'config', key: 'k' } }, "couldn't find key k in ConfigMap n/config"],
    [{ secretKeyRef: { name: 'secret', key: 'k' } }, "couldn't find key k in Secret n/secret"],
    [{ fieldRef: { fieldPath: 'spec.containers' } }, 'fieldRef spec.containers is not known to this node'],
    [{ resourceFieldRef: { resource: 'limits.cpu' } }, 'resourceFieldRef limits.cpu is not set on c'],
  ])('that cannot be resolved are named: %j', async (valueFrom, message) => {
    const result = environment({ env: [{ name: 'V', valueFrom: valueFrom as never }] });
    await expect(result).rejects.toThrow(new ContainerConfigError(message));
  });

  test('that are optional and missing are omitted', async () => {
    const optional = { configMapKeyRef: { name: 'none', key: 'k', optional: true } };
    expect(await environment({ env: [{ name: 'V', valueFrom: optional }] })).toEqual({});
  });
});

test('expansion', () => {
  const env = { A: 'a', 'B.C': 'bc' };
  expect(expand('$(A) $$(A) $$$(A) $(B.C) $(NONE) $A $ $', env)).toBe('a $(A) $a bc $(NONE) $A $ $');
});

test('quantities', () => {
  expect(['1', '250m', '2Gi', '1.5k', '1e3'].map(parseQuantity)).toEqual([1, 0.25, 2 ** 31, 1500, 1000]);
  expect(() => parseQuantity('two')).toThrow('"two" is not a quantity');
});

test('volumes that a process does not need are ignored, others are named', () => {
  const spec = (volume: object) => ({ containers: [], volumes: [{ name: 'v', ...volume }] }) as unknown as PodSpec;
  expect(unmountable(spec({ emptyDir: {} }))).toBeUndefined();
  expect(unmountable(spec({ projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }))).toBeUndefined();
  expect(unmountable(spec({ configMap: { name: 'x' } }))).toContain('volume "v"');
  expect(unmountable(spec({ projected: { sources: [{ secret: { name: 'x' } }] } }))).toContain('volume "v"');
});
