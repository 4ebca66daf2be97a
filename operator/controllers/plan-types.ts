import type { EventNote } from '../kube/events.ts';
import type { DesiredCondition, ReadySummary } from './conditions.ts';

/** Something another system said, or that it could not be asked. Unknown is never taken for zero or absent. */
export type Observation<T> =
  | { readonly known: true; readonly value: T }
  | { readonly known: false; readonly message: string };

/** What a reconcile shall do, as data: printing it is the dry run, comparing it is the test. */
export interface Plan<Action> {
  /** In this order; the first that fails ends the pass. */
  readonly actions: readonly Action[];
  readonly summary: ReadySummary;
  /** Conditions of the kind, besides Ready, Reconciling and Stalled. */
  readonly own: readonly DesiredCondition[];
  /** Told once the actions are carried out, besides the transitions of conditions. */
  readonly events?: readonly EventNote[];
  /** Look again after so many milliseconds, jittered by the caller; absent: when something changes. */
  readonly after?: number;
}

/** Milliseconds between two looks at what Temporal does for us, which has no watch. `soon`: after something was asked of it. */
export const REFRESH = { soon: 500, active: 3_000, idle: 15_000, unavailable: 10_000 } as const;

/** The plan when Temporal does not answer: nothing is done or declared, the work that runs goes on. */
export function unavailable(message: string): Plan<never> {
  return {
    actions: [],
    summary: {
      kind: 'unknown',
      reason: 'TemporalUnavailable',
      message: `${message}. What is running goes on; nothing is changed until Temporal answers.`,
    },
    own: [],
    after: REFRESH.unavailable,
  };
}

/** The plan for a resource whose spec cannot work: wait for a person. */
export function invalid(problems: readonly string[]): Plan<never> {
  return {
    actions: [],
    summary: { kind: 'stalled', reason: 'InvalidSpec', message: problems.join('; ') },
    own: [],
  };
}

/** Whether a person asked, by annotation, for what the operator otherwise refuses. */
export function annotated(object: { metadata: { annotations?: Record<string, string> } }, annotation: string): boolean {
  return object.metadata.annotations?.[annotation] === 'true';
}
