import { expect, test } from 'vitest';
import type { WorkerPool } from '../../../crds/worker-pool.ts';
import type { DisruptionBudget } from '../../kube/builtin.ts';
import { desiredBudget, planBudget } from './disruption-budget.ts';

const pool = { metadata: { name: 'main', namespace: 'data', uid: 'uid-1' } } as WorkerPool;
const ON = { worker_disruption_budgets: true };
const OFF = { worker_disruption_budgets: false };
const own = desiredBudget(pool);
const live: DisruptionBudget = {
  ...own,
  metadata: { ...own.metadata, uid: 'uid-2' },
  status: { currentHealthy: 1 } as DisruptionBudget['status'],
};
const changed = (spec: object) => ({ ...live, spec: { ...live.spec, ...spec } }) as DisruptionBudget;

test('a pool gets a budget that lets one of its pods be evicted at a time', () => {
  expect(planBudget(pool, undefined, ON)).toMatchObject([
    {
      do: 'protect',
      force: false,
      budget: {
        metadata: {
          name: 'ooni-worker-main',
          ownerReferences: [{ kind: 'WorkerPool', uid: 'uid-1', controller: true }],
        },
        spec: {
          maxUnavailable: 1,
          selector: { matchLabels: { 'app.kubernetes.io/name': 'ooni-worker', 'pipeline.ooni.org/pool': 'main' } },
        },
      },
    },
  ]);
});

test('a budget as desired stays, and a changed one is applied again', () => {
  expect(planBudget(pool, live, ON)).toEqual([]);
  expect(planBudget(pool, changed({ maxUnavailable: 2 }), ON)).toMatchObject([{ do: 'protect', force: true }]);
  const other = { matchLabels: { 'pipeline.ooni.org/pool': 'other' } };
  expect(planBudget(pool, changed({ selector: other }), ON)).toMatchObject([{ do: 'protect', force: true }]);
});

test('a budget with minAvailable, which an apply cannot remove, is deleted and created again', () => {
  const theirs = changed({ maxUnavailable: undefined, minAvailable: 3 });
  expect(planBudget(pool, theirs, ON)).toEqual([{ do: 'unprotect', budget: 'ooni-worker-main', uid: 'uid-2' }]);
});

test('without worker_disruption_budgets, the budget of the pool is deleted and none is created', () => {
  expect(planBudget(pool, live, OFF)).toEqual([{ do: 'unprotect', budget: 'ooni-worker-main', uid: 'uid-2' }]);
  expect(planBudget(pool, undefined, OFF)).toEqual([]);
});

test('a budget of a former pool of this name, of another owner or of a person stays as it is', () => {
  for (const ownerReferences of [[{ ...own.metadata.ownerReferences![0]!, uid: 'uid-0' }], undefined]) {
    const theirs = { ...changed({ maxUnavailable: 2 }), metadata: { ...live.metadata, ownerReferences } };
    expect(planBudget(pool, theirs, ON)).toEqual([]);
    expect(planBudget(pool, theirs, OFF)).toEqual([]);
  }
});
