import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BACKFILL, type Backfill, type BackfillSpecInput } from '../../crds/backfill.ts';
import type { Condition } from '../../crds/conditions.ts';
import {
  PIPELINE_SCHEDULE,
  type PipelineSchedule,
  type PipelineScheduleSpecInput,
} from '../../crds/pipeline-schedule.ts';
import { WORKER_POOL, type WorkerPool, type WorkerPoolSpecInput } from '../../crds/worker-pool.ts';
import { noCounts } from '../../pipeline/counts.ts';
import { POOL_SETTINGS } from '../../test/support/pool-settings.ts';
import type { BackfillPhase, BackfillProgress } from '../../worker/contract.ts';
import { canonical, hashOf } from '../hash.ts';
import type { Deployment, DisruptionBudget } from '../kube/builtin.ts';
import type { KubeObject } from '../kube/resource.ts';
import type { BackfillState } from '../temporal/backfills.ts';
import type { ScheduleRequest, ScheduleState } from '../temporal/schedules.ts';
import { planBackfill } from './backfill/plan.ts';
import type { BackfillAction } from './backfill/plan-types.ts';
import { backfillStatus } from './backfill/status.ts';
import { desiredConditions, lint, merge } from './conditions.ts';
import { planSchedule } from './pipeline-schedule/plan.ts';
import type { ScheduleAction } from './pipeline-schedule/plan-types.ts';
import { scheduleStatus } from './pipeline-schedule/status.ts';
import type { Plan } from './plan-types.ts';
import { specOf } from './reconcile.ts';
import { type Applied, appliedOf } from './worker-pool/applied.ts';
import { planPool } from './worker-pool/plan.ts';
import type { PoolAction, PoolPlan } from './worker-pool/plan-types.ts';
import { poolStatus } from './worker-pool/status.ts';

/* A resource is given the specs S0, S1 and S2. Meanwhile passes die after some of their actions, Temporal is away, and people change objects by
 * hand. In the end everything must be as if S2 had been the first spec. The plans and the status are the real ones; Temporal and Kubernetes are
 * replaced by what they keep. */

const START = Date.parse('2026-05-06T07:08:09Z');
const UI = { url: '', namespace: 'default' };

/** One step of a walk. `dies`: number of actions after which the process ends; its memory is lost, and it writes no status. */
type Step = { readonly do: 'pass'; readonly dies?: number } | { readonly do: 'tick' | 'meddle' | 'away' };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ do: 'pass' } as const) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), dies: fc.integer({ min: 0, max: 2 }) }) },
  { weight: 2, arbitrary: fc.constant({ do: 'tick' } as const) },
  { weight: 1, arbitrary: fc.constant({ do: 'meddle' } as const) },
  { weight: 1, arbitrary: fc.constant({ do: 'away' } as const) },
);
const steps = fc.array(step, { maxLength: 7 });

/** A resource and what exists because of it. */
abstract class World<Spec extends object, Action, P extends Plan<Action>> {
  protected readonly object: KubeObject & { spec: unknown; status?: { conditions?: Condition[] } };
  protected now = START;
  /** Whether Temporal answers. */
  protected answers = true;

  constructor(kind: string, spec: Spec) {
    const metadata = { name: 'it', namespace: 'data', uid: 'uid-1', generation: 1 };
    this.object = { apiVersion: 'pipeline.ooni.org/v1alpha1', kind, metadata, spec };
  }

  /** Plans from the present state. */
  protected abstract plan(): { readonly plan: P; readonly status: object };
  protected abstract apply(action: Action): void;
  /** Temporal or Kubernetes goes on by itself. */
  abstract tick(): void;
  /** Somebody changes an object by hand. */
  abstract meddle(): void;
  /** The process ends and another one starts. */
  abstract restart(): void;
  /** Returns what must not depend on the way. */
  abstract end(): object;

  change(spec: Spec): void {
    if (canonical(spec) === canonical(this.object.spec)) return;
    this.object.spec = spec;
    this.object.metadata.generation = (this.object.metadata.generation ?? 0) + 1;
  }

  /** Makes a pass. Returns whether it did or wrote anything. */
  pass(dies = Number.POSITIVE_INFINITY): boolean {
    this.now += 1000;
    const { plan, status } = this.plan();
    for (const [index, action] of plan.actions.entries()) {
      if (index >= dies) break;
      this.apply(action);
    }
    if (dies <= plan.actions.length) {
      this.restart();
      return true;
    }
    const generation = this.object.metadata.generation ?? 0;
    const conditions = merge(
      this.object.status?.conditions,
      desiredConditions(plan.summary, plan.own),
      generation,
      this.now,
    );
    const written = { ...status, observedGeneration: generation, conditions };
    expect(lint(written)).toEqual([]);
    const changed = canonical(written) !== canonical(this.object.status ?? {});
    this.object.status = JSON.parse(JSON.stringify(written));
    return changed || plan.actions.length > 0;
  }

  go(step: Step): void {
    if (step.do === 'pass') this.pass(step.dies);
    if (step.do === 'tick') this.tick();
    if (step.do === 'meddle') this.meddle();
    if (step.do !== 'away') return;
    this.answers = false;
    this.pass();
    this.answers = true;
  }

  /** Passes until nothing changes any more. Throws when that does not happen. */
  settle(): object {
    for (let quiet = 0, round = 0; quiet < 3; round++) {
      if (round > 100) throw new Error(`still changes: ${JSON.stringify(this.plan().plan)}`);
      quiet = this.pass() ? 0 : quiet + 1;
      this.tick();
    }
    const conditions = this.object.status?.conditions ?? [];
    return { ...this.end(), conditions: conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`) };
  }

  /** Adds the finalizer, as the reconciler does. */
  protected addFinalizer(): void {
    this.object.metadata.finalizers = ['pipeline.ooni.org/temporal'];
  }
}

/** Checks that a walk over three specs ends as a fresh resource with the last one. */
function walksEqualFresh<Spec extends object>(
  make: (spec: Spec) => World<Spec, never, Plan<never>>,
  specs: fc.Arbitrary<readonly [Spec, Spec, Spec]>,
): void {
  fc.assert(
    fc.property(specs, fc.tuple(steps, steps, steps), ([first, second, last], ways) => {
      const walked = make(first);
      for (const [index, spec] of [first, second, last].entries()) {
        walked.change(spec);
        for (const step of ways[index] ?? []) walked.go(step);
      }
      expect(walked.settle()).toEqual(make(last).settle());
    }),
    { numRuns: 100 },
  );
}

/** Temporal's schedules. A description has the form of the server, from which the request cannot be read. */
class ScheduleWorld extends World<PipelineScheduleSpecInput, ScheduleAction, Plan<ScheduleAction>> {
  #schedule: { request: ScheduleRequest; by: string; paused: boolean; note: string } | undefined;

  constructor(spec: PipelineScheduleSpecInput) {
    super('PipelineSchedule', spec);
  }

  protected plan() {
    const object = this.object as PipelineSchedule;
    const seen = this.#schedule;
    const state: ScheduleState | undefined = seen && {
      ...(seen.by === 'operator' && { ownerUID: seen.request.ownerUID, hash: seen.request.hash }),
      described: hashOf([seen.request, seen.by]),
      paused: seen.paused,
      note: seen.note,
      nextFirings: [START + 86_400_000],
      recent: [],
      version: { raw: {}, conflictToken: new Uint8Array() },
    };
    const away = { known: false, message: 'no connection' } as const;
    const observed = {
      object,
      spec: specOf(PIPELINE_SCHEDULE, object),
      schedule: this.answers ? ({ known: true, value: state } as const) : away,
      launches: this.answers ? ({ known: true, value: [] } as const) : away,
    };
    const plan = planSchedule(observed, 'ooni', this.now);
    return { plan, status: scheduleStatus(observed, plan, 'ooni', UI) };
  }

  protected apply(action: ScheduleAction): void {
    if (action.do === 'addFinalizer') this.addFinalizer();
    else if (action.do === 'create' || action.do === 'update') {
      const { request: before, by, ...pause } = this.#schedule ?? {};
      const inForce = by === 'operator' && before?.hash === action.request.hash;
      if (inForce && canonical(pause) === canonical(action.pause)) throw new Error('updated although it was in force');
      this.#schedule = { request: action.request, by: 'operator', ...action.pause };
    } else throw new Error(`unexpected: ${action.do}`);
  }

  tick(): void {}
  restart(): void {}

  meddle(): void {
    // An edit by hand drops the marks of the operator. Its pause state stays.
    if (this.#schedule && this.object.status && 'scheduleID' in this.object.status) this.#schedule.by = 'a person';
  }

  end(): object {
    const {
      conditions: _,
      coverage: __,
      observedGeneration: ___,
      ...status
    } = this.object.status as Record<string, unknown>;
    return { schedule: this.#schedule, status };
  }
}

const schedules = fc.record(
  {
    schedule: fc.constantFrom('0 2 * * *', '0 2 13 * 5', '5 * * * *'),
    suspend: fc.boolean(),
    overlap: fc.constantFrom('Allow', 'Skip', 'Buffer'),
    probeCC: fc.constantFrom([], ['IT']),
    catchUpWindow: fc.constantFrom('24h', '1h'),
    timeZone: fc.constantFrom('Etc/UTC', 'Europe/Rome'),
  },
  { requiredKeys: ['schedule'] },
) as fc.Arbitrary<PipelineScheduleSpecInput>;

test('a PipelineSchedule ends as a fresh one with its last spec, whatever happened before', () => {
  walksEqualFresh(spec => new ScheduleWorld(spec) as never, fc.tuple(schedules, schedules, schedules));
});

/** More buckets than can be active. */
const BUCKETS = 10;

/** A coordinator as the contract of worker/contract.ts has it. Its runs end when `released`. */
class BackfillWorld extends World<BackfillSpecInput, BackfillAction, Plan<BackfillAction>> {
  released = false;
  #workflow:
    | {
        readonly start: Extract<BackfillAction, { do: 'start' }>;
        readonly startedAt: number;
        phase: BackfillPhase;
        suspended: boolean;
        cancel: 'None' | 'Drain' | 'Now';
        maxActiveRuns: number;
        wanted: number;
        active: number;
        succeeded: number;
        messages: number;
        finishedAt?: number;
        /** Temporal executes an update of the same key once. */
        readonly keys: Set<string>;
      }
    | undefined;

  constructor(spec: BackfillSpecInput) {
    super('Backfill', spec);
  }

  protected plan() {
    const object = this.object as Backfill;
    const workflow = this.answers
      ? ({ known: true, value: this.#state() } as const)
      : ({ known: false, message: 'no connection' } as const);
    const observed = { object, spec: specOf(BACKFILL, object), workflow };
    const plan = planBackfill(observed, 'ooni', this.now);
    const status = backfillStatus(observed, plan, { samples: [], installation: 'ooni', ui: UI, now: this.now });
    return { plan, status };
  }

  #state(): BackfillState {
    const it = this.#workflow;
    if (!it) return { state: 'absent' };
    const { phase, active, succeeded, maxActiveRuns, suspended, messages, startedAt, finishedAt } = it;
    const progress: BackfillProgress = {
      ...{ phase, active, succeeded, maxActiveRuns, suspended, messages, total: BUCKETS, failed: 0, skipped: 0 },
      ...{ counts: noCounts(), failures: [], attempt: it.wanted, startedAt: new Date(startedAt).toISOString() },
      plan: { buckets: BUCKETS, toRun: BUCKETS, skipped: {} },
      ...(finishedAt !== undefined && { finishedAt: new Date(finishedAt).toISOString() }),
    };
    const common = { startedAt, attempt: it.start.attempt };
    return finishedAt === undefined
      ? { state: 'running', ...common, progress }
      : { state: 'ended', ...common, endedAt: finishedAt, ending: 'COMPLETED', result: progress, message: '' };
  }

  protected apply(action: BackfillAction): void {
    const it = this.#workflow;
    const runs = it !== undefined && it.finishedAt === undefined;
    if (action.do === 'addFinalizer') this.addFinalizer();
    else if (action.do === 'start') {
      if ((this.object as Backfill).spec.cancel !== 'None') throw new Error('started although cancelled');
      // Temporal rejects the start of an id that runs, and without `again` of an id that exists.
      if (runs || (it && !action.again)) return;
      const { suspended, maxActiveRuns, attempt } = action.input;
      this.#workflow = {
        ...{ start: action, startedAt: this.now, phase: 'Planning', suspended, cancel: 'None', maxActiveRuns },
        ...{ wanted: attempt, active: 0, succeeded: 0, messages: 0, keys: new Set() },
      };
    } else if (action.do === 'update') {
      const { message, key } = action;
      if (!runs || it.keys.has(`${message.name}-${key}`)) return;
      it.keys.add(`${message.name}-${key}`);
      it.messages++;
      if (message.name === 'pause') it.suspended = true;
      if (message.name === 'resume') it.suspended = false;
      if (message.name === 'resize') it.maxActiveRuns = message.maxActiveRuns;
      if (message.name === 'cancel') it.cancel = it.cancel === 'Now' ? 'Now' : message.mode;
      if (message.name === 'retryFailed') it.wanted = Math.max(it.wanted, message.attempt);
      this.#phase();
    } else throw new Error(`unexpected: ${action.do}`);
  }

  #phase(): void {
    const it = this.#workflow;
    if (!it || it.finishedAt !== undefined || it.phase === 'Planning') return;
    it.phase =
      it.cancel === 'Now' ? 'Cancelling' : it.cancel === 'Drain' ? 'Draining' : it.suspended ? 'Suspended' : 'Running';
  }

  tick(): void {
    const it = this.#workflow;
    if (!it || it.finishedAt !== undefined) return;
    const finish = (phase: BackfillPhase) => Object.assign(it, { phase, active: 0, finishedAt: this.now });
    if (it.phase === 'Planning') it.phase = 'Running';
    if (it.start.input.dryRun) finish(it.cancel === 'None' ? 'Planned' : 'Cancelled');
    if (it.finishedAt !== undefined) return;
    if (it.cancel === 'Now') it.active = 0;
    if (this.released) {
      it.succeeded += it.active;
      it.active = 0;
    }
    const waiting = BUCKETS - it.succeeded - it.active;
    if (it.cancel === 'None' && !it.suspended) {
      it.active += Math.max(0, Math.min(waiting, it.maxActiveRuns - it.active));
    }
    this.#phase();
    if (it.active > 0 || (it.cancel === 'None' && it.succeeded < BUCKETS)) return;
    finish(it.cancel !== 'None' && it.succeeded < BUCKETS ? 'Cancelled' : 'Complete');
  }

  meddle(): void {
    // Somebody pauses or resumes the workflow in Temporal.
    const it = this.#workflow;
    if (!it || it.finishedAt !== undefined) return;
    it.suspended = !it.suspended;
    it.messages++;
    this.#phase();
  }

  restart(): void {}

  override settle(): object {
    this.released = true;
    return super.settle();
  }

  end(): object {
    const { phase, attempt } = this.object.status as { phase?: string; attempt?: number };
    const it = this.#workflow;
    // A fresh Backfill that is cancelled already starts no workflow.
    if (phase === 'Cancelled') return { phase };
    // The control of a workflow counts while it runs, and its result when all buckets are done.
    if (it?.finishedAt !== undefined) return { phase, attempt, succeeded: it.succeeded };
    return { phase, attempt, suspended: it?.suspended, maxActiveRuns: it?.maxActiveRuns };
  }
}

const CANCEL = ['None', 'Drain', 'Now'] as const;

/** Three specs that the API server accepts one after the other. */
const backfills = fc
  .array(
    fc.record({
      maxActiveRuns: fc.integer({ min: 1, max: 4 }),
      suspend: fc.boolean(),
      cancel: fc.integer({ min: 0, max: 2 }),
      attempt: fc.integer({ min: 1, max: 3 }),
      dryRun: fc.boolean(),
    }),
    { minLength: 3, maxLength: 3 },
  )
  .map(list => {
    let [cancel, attempt, dryRun] = [0, 1, true];
    return list.map((it, index) => {
      // Most walks are not cancelled before their last spec.
      cancel = Math.max(cancel, index < 2 ? Math.max(0, it.cancel - 1) : it.cancel);
      if (cancel === 0) attempt = Math.max(attempt, it.attempt);
      // A dry run that has ended before it is cancelled stays as it is.
      dryRun &&= it.dryRun && (index < 2 || cancel === 0);
      const { maxActiveRuns, suspend } = it;
      const range = { startAt: '2024-01-01', endAt: '2024-01-11' };
      return { ...range, maxActiveRuns, suspend, cancel: CANCEL[cancel], attempt, dryRun };
    }) as [BackfillSpecInput, BackfillSpecInput, BackfillSpecInput];
  });

test('a Backfill ends as a fresh one with its last spec, whatever happened before', () => {
  walksEqualFresh(spec => new BackfillWorld(spec) as never, backfills);
});

/** Deployment and PodDisruptionBudget as the API server keeps them: it writes quantities in another form and adds defaults. */
class PoolWorld extends World<WorkerPoolSpecInput, PoolAction, PoolPlan> {
  #deployment: Deployment | undefined;
  #budget: DisruptionBudget | undefined;
  #applied: Applied | undefined;

  constructor(spec: WorkerPoolSpecInput) {
    super('WorkerPool', spec);
  }

  protected plan() {
    const object = this.object as WorkerPool;
    const observed = {
      object,
      spec: specOf(WORKER_POOL, object),
      ...{
        deployment: this.#deployment,
        budget: this.#budget,
        applied: this.#applied,
        pods: [],
        others: [],
        activeRuns: false,
      },
      load: { known: false, message: 'no connection' } as const,
      versions: { versions: { known: false, message: 'off' }, draining: [], elsewhere: new Map() } as const,
      ...{ monotonic: this.now - START, memory: undefined },
    };
    const plan = planPool(observed, POOL_SETTINGS, this.now);
    return { plan, status: poolStatus(observed, plan, UI, this.now) };
  }

  protected apply(action: PoolAction): void {
    if (action.do === 'apply') {
      const { generation = 0 } = this.#deployment?.metadata ?? {};
      const kept = JSON.parse(JSON.stringify(action.deployment).replaceAll(/"cpu":(\d+)/g, '"cpu":"$1"')) as Deployment;
      const spec = { ...kept.spec, progressDeadlineSeconds: 600 } as Deployment['spec'];
      const same = canonical(spec) === canonical(this.#deployment?.spec);
      this.#deployment = {
        ...kept,
        spec,
        metadata: { ...kept.metadata, uid: 'uid-2', generation: same ? generation : generation + 1 },
        status: this.#deployment?.status,
      };
      this.#applied = appliedOf(action.deployment, this.#deployment);
    } else if (action.do === 'protect') {
      this.#budget = structuredClone(action.budget);
    } else throw new Error(`unexpected: ${action.do}`);
  }

  tick(): void {
    const { generation, ...metadata } = this.#deployment?.metadata ?? {};
    const replicas = this.#deployment?.spec?.replicas ?? 0;
    if (!this.#deployment || !metadata) return;
    this.#deployment.status = {
      ...{ observedGeneration: generation, replicas, readyReplicas: replicas, updatedReplicas: replicas },
    };
  }

  meddle(): void {
    const { spec, metadata } = this.#deployment ?? {};
    const [container] = spec?.template.spec?.containers ?? [];
    if (!spec || !metadata || !container) return;
    container.image = 'by-hand';
    metadata.generation = (metadata.generation ?? 0) + 1;
  }

  restart(): void {
    this.#applied = undefined;
  }

  end(): object {
    const { generation: _, ...metadata } = this.#deployment?.metadata ?? {};
    return { deployment: { metadata, spec: this.#deployment?.spec }, budget: this.#budget };
  }
}

const pools = fc.record(
  {
    // Without it, a pool keeps the number of pods that it has.
    replicas: fc.integer({ min: 0, max: 3 }),
    slots: fc.integer({ min: 1, max: 3 }),
    tasks: fc.constantFrom(['Workflows'], ['Activities'], ['Workflows', 'Activities']),
    drainTimeout: fc.constantFrom('2m', '10s'),
    template: fc.constantFrom(
      {},
      { metadata: { labels: { team: 'a' } } },
      { spec: { nodeSelector: { disk: 'fast' } } },
      { spec: { containers: [{ name: 'worker', resources: { limits: { cpu: 2 } } }] } },
    ),
  },
  { requiredKeys: ['replicas'] },
) as fc.Arbitrary<WorkerPoolSpecInput>;

test('a WorkerPool ends as a fresh one with its last spec, whatever happened before', () => {
  walksEqualFresh(spec => new PoolWorld(spec) as never, fc.tuple(pools, pools, pools));
});
