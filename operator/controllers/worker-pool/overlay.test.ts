import { expect, test } from 'vitest';
import { covers, overlay } from './overlay.ts';

const own = {
  spec: {
    terminationGracePeriodSeconds: 150,
    containers: [
      {
        name: 'worker',
        image: 'a',
        env: [{ name: 'A', value: '1' }],
        args: ['x'],
        resources: { requests: { cpu: '1' } },
      },
    ],
  },
};

test('containers and env are merged by name, other lists replaced, the rest kept', () => {
  const over = {
    metadata: { annotations: { note: 'n' } },
    spec: {
      containers: [
        { name: 'sidecar', image: 's' },
        {
          name: 'worker',
          image: 'b',
          args: ['y', 'z'],
          env: [
            { name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
            { name: 'B', value: '2' },
          ],
          resources: { limits: { memory: '1Gi' } },
        },
      ],
      tolerations: [{ key: 'k' }],
    },
  };
  expect(overlay(own, over)).toEqual({
    metadata: { annotations: { note: 'n' } },
    spec: {
      terminationGracePeriodSeconds: 150,
      tolerations: [{ key: 'k' }],
      containers: [
        {
          name: 'worker',
          image: 'b',
          args: ['y', 'z'],
          env: [
            { name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
            { name: 'B', value: '2' },
          ],
          resources: { requests: { cpu: '1' }, limits: { memory: '1Gi' } },
        },
        { name: 'sidecar', image: 's' },
      ],
    },
  });
});

test('null removes a field, an empty overlay changes nothing', () => {
  expect(overlay(own, {})).toEqual(own);
  expect(overlay(own, { spec: { terminationGracePeriodSeconds: null } })).toEqual({
    spec: { containers: own.spec.containers },
  });
});

test('the arguments are not changed', () => {
  const before = structuredClone(own);
  overlay(own, { spec: { containers: [{ name: 'worker', image: 'c' }] } });
  expect(own).toEqual(before);
});

test('defaults and fields of others are not drift; a changed, missing or reordered value is', () => {
  const live = {
    spec: {
      terminationGracePeriodSeconds: 150,
      restartPolicy: 'Always',
      containers: [
        { name: 'injected', image: 'i' },
        {
          ...own.spec.containers[0],
          imagePullPolicy: 'Always',
          env: [
            { name: 'X', value: 'x' },
            { name: 'A', value: '1' },
          ],
        },
      ],
    },
  };
  expect(covers(live, own)).toBe(true);
  const worker = live.spec.containers[1];
  const changed = (over: object) => ({ spec: { ...live.spec, containers: [{ ...worker, ...over }] } });
  expect(covers(changed({ image: 'b' }), own)).toBe(false);
  expect(covers(changed({ env: [] }), own)).toBe(false);
  expect(covers(changed({ args: ['x', 'x'] }), own)).toBe(false);
  expect(covers({ spec: {} }, own)).toBe(false);
});
