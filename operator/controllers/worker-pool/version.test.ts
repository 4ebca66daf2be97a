import { describe, expect, test } from 'vitest';
import { WORKER_POOL, type WorkerPool } from '../../../crds/worker-pool.ts';
import { POOL_SETTINGS } from '../../../test/support/pool-settings.ts';
import type { Deployment } from '../../kube/builtin.ts';
import type { VersionState } from '../../temporal/versions.ts';
import { specOf } from '../reconcile.ts';
import { BUILD_ID, buildIDOf, desiredDeployment } from './deployment.ts';
import { covers } from './overlay.ts';
import { drainingOf, type ObservedVersions, planVersions } from './version.ts';

const pool = {
  apiVersion: 'pipeline.ooni.org/v1alpha1',
  kind: 'WorkerPool',
  metadata: { name: 'main', namespace: 'data', uid: 'uid-1' },
  spec: {},
} as WorkerPool;

const desired = (image: string, tasks = ['Workflows', 'Activities']): Deployment => {
  const spec = specOf(WORKER_POOL, { spec: { tasks } });
  if (spec instanceof Error) throw spec;
  const settings = { ...POOL_SETTINGS, worker_image: image, worker_versioning: true };
  return desiredDeployment(pool, spec, 2, settings);
};
const live = (image: string, ready = 2): Deployment => {
  const made = desired(image);
  return {
    ...made,
    metadata: { ...made.metadata, generation: 3 },
    status: { observedGeneration: 3, readyReplicas: ready },
  };
};
const [one, two] = ['registry/ooni:1', 'registry/ooni:2'];
const [v1, v2] = [buildIDOf(one), buildIDOf(two)];

const seen = (current: string | undefined, states: Record<string, VersionState>): ObservedVersions['versions'] => ({
  known: true,
  value: { current, states: new Map(Object.entries(states)) },
});
const away = { known: false, message: 'no connection' } as const;
const given = (versions: ObservedVersions['versions'], draining: readonly Deployment[] = [], elsewhere = {}) => ({
  versions,
  draining,
  elsewhere: new Map(Object.entries<string>(elsewhere)),
});
/** The Deployment that keeps version 1 while the pool moves to version 2. */
const keeper = (): Deployment => {
  const { before } = planVersions(pool, live(one), desired(two), given(away));
  const [action] = before;
  if (action?.do !== 'keep') throw new Error('the former version is not kept');
  return action.deployment;
};

describe('the build id of an image', () => {
  test('is its digest, or its tag with a hash of the reference, and valid as a label', () => {
    expect(buildIDOf(`registry/ooni:1@sha256:${'0123456789abcdef'.repeat(4)}`)).toBe('sha256-0123456789abcdef');
    expect(buildIDOf('registry:5000/ooni')).toMatch(/^latest-[0-9a-f]{8}$/);
    expect(buildIDOf('registry:5000/ooni:v1.2.3_rc')).toMatch(/^v1-2-3-rc-[0-9a-f]{8}$/);
    expect(buildIDOf('a/ooni:1')).not.toBe(buildIDOf('b/ooni:1'));
    expect(buildIDOf(`x:${'y'.repeat(128)}`).length).toBeLessThanOrEqual(63);
  });

  test('is in the environment of pods that take workflow tasks, and of no others', () => {
    const env = (deployment: Deployment) => deployment.spec?.template.spec?.containers[0]?.env ?? [];
    expect(env(desired(one))).toContainEqual({ name: 'WORKER_BUILD_ID', value: v1 });
    expect(env(desired(one, ['Activities'])).map(({ name }) => name)).not.toContain('WORKER_BUILD_ID');
  });
});

describe('a new version', () => {
  test('leaves a pod of the former one that takes workflow tasks only and belongs to the pool', () => {
    const kept = keeper();
    expect(kept.metadata).toMatchObject({ namespace: 'data', annotations: { [BUILD_ID]: v1 } });
    expect(kept.metadata.ownerReferences).toMatchObject([{ uid: 'uid-1', controller: true }]);
    expect(kept.spec?.replicas).toBe(1);
    const container = kept.spec?.template.spec?.containers[0];
    expect(container).toMatchObject({ image: one });
    expect(container?.env).toContainEqual({ name: 'WORKER_TASKS', value: 'Workflows' });
    expect(container?.env).toContainEqual({ name: 'WORKER_BUILD_ID', value: v1 });
    // Two Deployments whose selectors match the same pods would take them from each other.
    const labels = kept.spec?.template.metadata?.labels;
    expect(covers(labels, kept.spec?.selector.matchLabels)).toBe(true);
    expect(covers(labels, desired(two).spec?.selector.matchLabels)).toBe(false);
    expect(drainingOf(pool, [kept, live(two)])).toEqual([kept]);
    expect(drainingOf({ ...pool, metadata: { ...pool.metadata, uid: 'uid-2' } }, [kept])).toEqual([]);
  });

  test('is made current when a pod is ready and Temporal knows the version', () => {
    const plan = (ready: number, states: Record<string, VersionState>) =>
      planVersions(pool, live(two, ready), desired(two), given(seen(v1, states), [keeper()]));
    expect(plan(0, { [v1]: 'current', [v2]: 'inactive' }).after).toEqual([]);
    expect(plan(1, { [v1]: 'current' }).after).toEqual([]);
    const routed = plan(1, { [v1]: 'current', [v2]: 'inactive' });
    expect(routed.after).toEqual([{ do: 'route', buildID: v2 }]);
    expect(routed.waits).toContain(v2);
    expect(planVersions(pool, live(two), desired(two), given(seen(v2, { [v2]: 'current' })))).toMatchObject({
      ...{ before: [], after: [], least: 0, drainingVersions: [] },
    });
  });

  test('needs at least one pod, or Temporal never learns of it', () => {
    expect(planVersions(pool, live(two, 0), desired(two), given(seen(v1, { [v1]: 'current' }))).least).toBe(1);
    expect(planVersions(pool, live(two, 0), desired(two), given(seen(undefined, {}))).least).toBe(0);
    expect(planVersions(pool, live(two, 0), desired(two), given(away)).least).toBe(0);
  });

  test('does not take the work from another pool', () => {
    const states = { [v1]: 'current', [v2]: 'inactive' } as const;
    const plan = planVersions(pool, live(two), desired(two), given(seen(v1, states), [], { [v1]: 'other' }));
    expect(plan.after).toEqual([]);
    expect(plan.waits).toContain('WorkerPool other');
  });
});

describe('a former version', () => {
  const next = (versions: ObservedVersions['versions']) =>
    planVersions(pool, live(two), desired(two), given(versions, [keeper()]));

  test('keeps its pod until its runs have ended; an unknown state holds it', () => {
    for (const state of ['draining', 'current', 'unknown'] as const) {
      const plan = next(seen(v2, { [v1]: state, [v2]: 'current' }));
      expect([state, plan.after, plan.drainingVersions]).toEqual([state, [], [v1]]);
    }
    expect(next(seen(v2, { [v2]: 'current' })).after).toEqual([]);
    expect(next(away).after).toEqual([]);
    for (const state of ['drained', 'inactive'] as const) {
      const plan = next(seen(v2, { [v1]: state, [v2]: 'current' }));
      expect(plan).toMatchObject({
        after: [{ do: 'release', deployment: keeper().metadata.name }],
        drainingVersions: [],
      });
    }
  });

  test('is not kept when none of its runs is left', () => {
    const versions = seen(v1, { [v1]: 'inactive' });
    expect(planVersions(pool, live(one), desired(two), given(versions)).before).toEqual([]);
  });

  test('is kept once, also when the pass after the first write was lost', () => {
    expect(planVersions(pool, live(one), desired(two), given(away, [keeper()])).before).toEqual([]);
  });

  test('that becomes the desired one again loses its second Deployment once the pool has pods of it', () => {
    const versions = seen(v1, { [v1]: 'current', [v2]: 'draining' });
    expect(planVersions(pool, live(one, 0), desired(one), given(versions, [keeper()])).after).toEqual([]);
    expect(planVersions(pool, live(one), desired(one), given(versions, [keeper()])).after).toMatchObject([
      { do: 'release' },
    ]);
  });
});
