import type { Condition } from '../../crds/conditions.ts';
import { FINALIZER, type Kind, parseSpec, SpecError } from '../../crds/resource.ts';
import { sentence } from '../../pipeline/sentence.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';
import { attributesOfRange, attributesOfResource, withSpan } from '../../pipeline/telemetry/spans.ts';
import { WaitSpans } from '../../pipeline/telemetry/wait-spans.ts';
import { canonical, sameJson } from '../hash.ts';
import type { Change } from '../kube/cache.ts';
import type { Client } from '../kube/client.ts';
import { type Clock, jittered } from '../kube/clock.ts';
import type { Reconcile } from '../kube/controller.ts';
import {
  ConflictError,
  ForbiddenError,
  InvalidError,
  NotFoundError,
  OwnerUnknownError,
  RateLimitedError,
  TerminalError,
  TransientError,
} from '../kube/errors.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { KubeObject, Resource, Stored } from '../kube/resource.ts';
import type { BlockedBy } from '../temporal/blocked-by.ts';
import type { Temporal } from '../temporal/connection.ts';
import {
  NoWorkerError,
  TemporalBusy,
  TemporalConflict,
  TemporalError,
  TemporalRejected,
  TemporalUnavailable,
} from '../temporal/errors.ts';
import { type DesiredCondition, desiredConditions, merge, type ReadySummary, transitions } from './conditions.ts';
import { claim, needsClaim } from './installation.ts';
import type { TemporalUI } from './links.ts';
import { type Plan, REFRESH } from './plan-types.ts';
import type { Polling } from './polling.ts';

/** Objects that all controllers of the operator share. */
export interface Context {
  readonly client: Client;
  readonly clock: Clock;
  readonly events: EventRecorder;
  readonly written: WrittenStatus;
  readonly waits: Waits;
  readonly installation: string;
}

/** Sources and limits of the reconcilers of the kinds that have runs. */
export interface RunSources {
  readonly temporal: Temporal;
  readonly ui: TemporalUI;
  /** Spaces the repeated reads of the kind. */
  readonly polling: Polling;
  /** Returns the cause that blocks any run of the installation, whose activities may hold all slots; undefined when nothing does. */
  readonly blockedElsewhere: () => Promise<BlockedBy | undefined>;
}

/** Systems in which a plan is carried out. */
export interface Systems {
  readonly client: Client;
  readonly temporal: Temporal;
  readonly signal: AbortSignal;
}

/** The last status that the operator wrote for each object. Another status comes from another writer, and the operator overwrites it. */
export class WrittenStatus {
  readonly #statuses = new Map<string, object>();

  /** Records the desired status. Returns whether the object has it already, so that a write would change nothing. */
  note(object: KubeObject & { status?: object }, status: object): boolean {
    const same = sameJson(status, object.status ?? {});
    // Of two equal statuses, the one in the cache is kept, because it takes no additional memory.
    this.#statuses.set(object.metadata.uid ?? '', same ? (object.status ?? {}) : status);
    return same;
  }

  forget(object: KubeObject): void {
    this.#statuses.delete(object.metadata.uid ?? '');
  }

  /** Returns whether the status differs from the last one written; false for an object without a record. */
  differs(object: KubeObject & { status?: object }): boolean {
    const status = this.#statuses.get(object.metadata.uid ?? '');
    return status !== undefined && !sameJson(status, object.status ?? {});
  }
}

/**
 * Records the waits of resources as spans. They begin traces of their own, because the operator may have no other span. A search in the
 * last hour finds a wait that began yesterday, because each wait is recorded again and again.
 */
export class Waits {
  readonly #spans = new Map<string, WaitSpans>();

  /** Receives the wait of a resource; undefined: it does not wait. `now`: milliseconds since 1970. */
  take(kind: string, { metadata, spec }: Ours, wait: Omit<Blocked, 'message'> | undefined, now: number): void {
    const { name, namespace = '' } = metadata;
    const key = `${kind}/${namespace}/${name}`;
    if (!wait && !this.#spans.has(key)) return;
    const spans = this.#spans.get(key) ?? new WaitSpans(WAIT_INTERVAL);
    const { startAt, endAt } = (spec ?? {}) as { readonly startAt?: string; readonly endAt?: string };
    const attributes = {
      ...attributesOfResource({ kind, namespace, name }),
      ...(wait?.bucket !== undefined && { 'ooni.bucket': wait.bucket }),
      ...(startAt !== undefined && endAt !== undefined && attributesOfRange(startAt, endAt)),
    };
    spans.take(wait && { reason: wait.reason, attributes }, now);
    if (wait) this.#spans.set(key, spans);
    else this.#spans.delete(key);
  }

  /** Drops the memory of a resource that is gone. `key`: namespace/name. */
  forget(kind: string, key: string): void {
    this.#spans.delete(`${kind}/${key}`);
  }
}

/** Milliseconds between spans that show that a resource waits. Many resources may wait for the same server. */
const WAIT_INTERVAL = 300_000;

/** The parts of our objects that are the same for all kinds. */
interface Ours extends KubeObject {
  spec?: object;
  status?: { observedGeneration?: number; conditions?: Condition[]; blockedBy?: Blocked };
}

/** The field `blockedBy` of the kinds that have runs. */
interface Blocked {
  readonly bucket?: string;
  readonly reason: string;
  readonly message: string;
}

/** The steps that differ between kinds. */
export interface Steps<T extends Ours, Observed, P extends Plan<unknown>> {
  readonly resource: Resource<T>;
  /** Finalizer of the kind. A resource gets it before the operator changes anything for it. */
  readonly finalizer?: string;
  /** Reads Kubernetes and Temporal. When Temporal does not answer, the Observation is unknown; other failures are thrown. */
  observe(object: Stored<T>, now: number, signal: AbortSignal): Promise<Observed>;
  /** Decides. Pure. */
  plan(observed: Observed, now: number): P;
  /** Carries out one action; idempotent. Returns true when the object may be gone afterwards, so that no status is written. */
  apply(object: Stored<T>, action: P['actions'][number], signal: AbortSignal): Promise<boolean>;
  /** Returns the status without conditions. Pure. */
  status(observed: Observed, plan: P, now: number): object;
  /** Returns the milliseconds until the next pass instead of those of the plan. */
  interval?(after: number): number;
  /** Drops the memory of an object. Called when the object is gone. */
  forget?(key: string): void;
}

/** Makes one pass over one object: observes, plans, applies, writes the status once, records events for transitions. */
export function reconciler<T extends Ours, Observed, P extends Plan<unknown>>(
  context: Context,
  steps: Steps<T, Observed, P>,
): Reconcile<T> {
  return async (key, { object, now, signal, log }) => {
    if (!object) {
      steps.forget?.(key);
      context.waits.forget(steps.resource.kind, key);
      return undefined;
    }
    if (needsClaim(object)) {
      const { installation } = context;
      await claim(context.client, steps.resource, object, { installation, finalizer: steps.finalizer }, signal);
      return { requeueAfter: 1 };
    }
    let observed: Observed;
    try {
      observed = await steps.observe(object, now, signal);
    } catch (error) {
      await reportUnobserved(context, steps.resource, object, error, { now, log });
      throw asReconcileError(error);
    }
    const plan = steps.plan(observed, now);
    log.debug({ plan }, 'planned');
    let summary = plan.summary;
    let own = plan.own;
    let failure: unknown;
    try {
      const act = async () => {
        for (const action of plan.actions) {
          log.info({ do: (action as { do?: string }).do }, 'acting');
          if (await steps.apply(object, action, signal)) return 'gone';
        }
        return 'done';
      };
      // A pass without actions has no span: passes are frequent, and most of them change nothing.
      const { kind } = steps.resource;
      const { name, namespace = '', generation = 0 } = object.metadata;
      const resource = {
        ...attributesOfResource({ kind, namespace, name }),
        'ooni.resource_generation': generation,
      };
      const end = plan.actions.length > 0 ? await withSpan(`reconcile ${kind}`, resource, act) : await act();
      if (end === 'gone') return undefined;
      for (const event of plan.events ?? []) context.events.record(steps.resource, object, event);
    } catch (error) {
      const failed = summaryOf(error, plan.summary);
      if (!failed) throw error;
      failure = error;
      summary = failed;
      own = object.status?.conditions?.filter(({ type }) => plan.own.some(one => one.type === type)) ?? [];
    }
    const body = steps.status(observed, plan, now);
    await writeStatus(context, steps.resource, object, { body, summary, own, now, log });
    if (failure !== undefined) throw asReconcileError(failure);
    if (plan.after === undefined) return undefined;
    const requeueAfter = jittered(context.clock, steps.interval?.(plan.after) ?? plan.after, 0.2);
    return { requeueAfter, repeated: plan.after > REFRESH.soon };
  };
}

/** Writes into the conditions that the state could not be read. The rest of the status keeps its values. */
async function reportUnobserved<T extends Ours>(
  context: Context,
  resource: Resource<T>,
  object: Stored<T>,
  error: unknown,
  pass: Pick<DesiredStatus, 'now' | 'log'>,
): Promise<void> {
  const summary = summaryOf(error, {
    kind: 'unknown',
    reason: 'RequestFailed',
    message: 'The state could not be read.',
  });
  if (!summary) return;
  const { conditions = [], observedGeneration: _, ...body } = object.status ?? {};
  const own = conditions.filter(({ type }) => !['Ready', 'Reconciling', 'Stalled'].includes(type));
  await writeStatus(context, resource, object, { body, summary, own, ...pass });
}

/** Returns the summary for a failed action; undefined when the owner of the resource needs no report and the pass is only repeated. */
function summaryOf(error: unknown, planned: ReadySummary): ReadySummary | undefined {
  if (error instanceof NoWorkerError) {
    const kind = planned.kind === 'working' ? 'working' : 'failing';
    return { kind, reason: 'NoWorker', message: `${sentence(error.message)} ${planned.message}` };
  }
  if (error instanceof TemporalUnavailable) {
    return {
      kind: 'unknown',
      reason: 'TemporalUnavailable',
      message: `${sentence(error.message)} The operator retries it.`,
    };
  }
  if (error instanceof InvalidError) {
    return {
      kind: 'stalled',
      reason: 'Rejected',
      message: `Kubernetes rejects the object that the spec describes: ${sentence(error.explanation)}`,
    };
  }
  if (error instanceof TemporalRejected || error instanceof ForbiddenError) {
    return { kind: 'stalled', reason: 'Rejected', message: error.message };
  }
  if (error instanceof OwnerUnknownError) {
    return {
      kind: 'working',
      reason: 'RequestFailed',
      message:
        'The API server does not accept an object of this kind as an owner yet; it looks for new kinds twice a minute. The operator retries it.',
    };
  }
  if (error instanceof ConflictError || error instanceof TemporalConflict) return undefined;
  // The process lost the lease or is stopping. The next leader reports the state.
  if (error instanceof Error && (error.name === 'LeaseLostError' || error.name === 'AbortError')) return undefined;
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'failing', reason: 'RequestFailed', message: `${sentence(message)} The operator retries it.` };
}

/** Returns the error of the class by which the queue chooses the delay before the retry. */
function asReconcileError(error: unknown): unknown {
  if (error instanceof TemporalBusy) return new RateLimitedError(error.message, error.after, { cause: error });
  if (error instanceof NoWorkerError) return new RateLimitedError(error.message, WORKER_WAIT, { cause: error });
  if (error instanceof InvalidError) return new TerminalError(error.message, { cause: error });
  if (error instanceof OwnerUnknownError) return new RateLimitedError(error.message, OWNER_WAIT, { cause: error });
  if (error instanceof TemporalError) return new TransientError(error.message, { cause: error });
  return error;
}

/** Milliseconds until the operator sends a message to a workflow again when no worker received it. */
const WORKER_WAIT = 5_000;
/** Milliseconds until the operator creates an object again when the API server does not accept its owner yet. */
const OWNER_WAIT = 2_000;

/** A status without the parts that every resource has: `observedGeneration` and the form of conditions. */
interface DesiredStatus {
  readonly body: object;
  readonly summary: ReadySummary;
  readonly own: readonly DesiredCondition[];
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly log: Logger;
}

async function writeStatus<T extends Ours>(
  { client, events, written, waits }: Context,
  resource: Resource<T>,
  object: Stored<T>,
  { body, summary, own, now, log }: DesiredStatus,
): Promise<void> {
  const { blockedBy } = body as { blockedBy?: Blocked };
  // While a server does not answer, the last known wait of a run may be over.
  waits.take(resource.kind, object, summary.kind === 'unknown' ? summary : blockedBy, now);
  const generation = object.metadata.generation ?? 0;
  const conditions = merge(object.status?.conditions, desiredConditions(summary, own), generation, now);
  const status = { ...body, observedGeneration: generation, conditions };
  if (written.note(object, status)) return;
  const { name, namespace, uid } = object.metadata;
  try {
    // With the uid, the server rejects the status if the object was deleted and created again. force: the operator owns the whole status.
    await client.apply(resource, { metadata: { name, namespace, uid }, status } as never, {
      subresource: 'status',
      force: true,
    });
  } catch (error) {
    // After a conflict the pass is repeated. Without that, a resource that needs no further pass would keep an old status.
    if (error instanceof NotFoundError) return;
    throw error;
  }
  logWait(object, blockedBy, log);
  for (const { type, reason, message } of transitions(object.status?.conditions, conditions)) {
    events.record(resource, object, { type, reason, action: 'Reconcile', note: message });
  }
}

/** Logs when a run of an object begins to wait, waits for something else, or does not wait any more. */
function logWait({ status }: Ours, blocked: Blocked | undefined, log: Logger): void {
  const before = status?.blockedBy;
  if (before?.bucket === blocked?.bucket && before?.reason === blocked?.reason) return;
  const work = ({ bucket }: Blocked) => (bucket === undefined ? 'the plan' : `the run of ${bucket}`);
  if (!blocked) {
    if (before) log.info({ bucket: before.bucket }, `${work(before)} does not wait any more`);
    return;
  }
  const { bucket, reason, message } = blocked;
  log.warn({ bucket, reason }, `${work(blocked)} waits: ${message}`);
}

/**
 * Returns whether a change of a resource needs a pass. Changes of spec, finalizers, annotations and deletion do, and a status by another
 * writer. Our own status writes also arrive as changes; if they counted, every pass would cause another.
 */
export function needsPass(written: WrittenStatus, change: Change<KubeObject>): boolean {
  if (change.type === 'deleted') written.forget(change.object);
  if (change.type !== 'modified') return true;
  const { object, previous } = change;
  if (written.differs(object)) return true;
  const relevant = ({ metadata }: KubeObject) => [
    metadata.generation,
    metadata.deletionTimestamp,
    metadata.finalizers ?? [],
    metadata.annotations ?? {},
  ];
  return canonical(relevant(object)) !== canonical(relevant(previous));
}

/** The answer of Temporal for an object whose plan does not depend on it. */
export const NOT_ASKED = { known: false, message: 'Temporal has not been asked yet' } as const;

/** Returns whether the plan for an object is to add our finalizer, whatever its state in Temporal. */
export function needsFinalizer({ metadata }: KubeObject): boolean {
  return !metadata.deletionTimestamp && !metadata.finalizers?.includes(FINALIZER);
}

/** Returns the spec with defaults, or the error that makes it invalid. */
export function specOf<K extends Kind>(
  kind: K,
  object: { spec?: unknown },
): ReturnType<typeof parseSpec<K['spec']>> | SpecError {
  try {
    return parseSpec<K['spec']>(kind, object);
  } catch (error) {
    if (error instanceof SpecError) return error;
    throw error;
  }
}

/** Returns the answer of Temporal, or an unknown Observation when Temporal is unavailable. Throws other errors. */
export async function ask<V>(
  request: Promise<V>,
): Promise<{ known: true; value: V } | { known: false; message: string }> {
  try {
    return { known: true, value: await request };
  } catch (error) {
    if (error instanceof TemporalUnavailable) return { known: false, message: error.message };
    throw error;
  }
}
