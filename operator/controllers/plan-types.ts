import { sentence } from '../../pipeline/sentence.ts';
import type { EventNote } from '../kube/events.ts';
import type { DesiredCondition, ReadySummary } from './conditions.ts';

/** Result of a decision, as data: the dry run prints it, the tests compare it. */
export interface Plan<Action> {
  /** Actions in order. The first failure ends the pass. */
  readonly actions: readonly Action[];
  readonly summary: ReadySummary;
  /** Conditions of the kind, besides Ready, Reconciling and Stalled. */
  readonly own: readonly DesiredCondition[];
  /** Events recorded after the actions, besides those for transitions of conditions. */
  readonly events?: readonly EventNote[];
  /** Milliseconds until the next pass, to which the caller adds jitter. Absent: the next change starts the next pass. */
  readonly after?: number;
}

/**
 * Milliseconds between two reads of Temporal, which has no watch. `soon` applies after a request that changes something, `ending` to work that may
 * end at any moment.
 */
export const REFRESH = { soon: 500, ending: 1_000, active: 3_000, idle: 15_000, unavailable: 10_000 } as const;

/** Returns the plan while Temporal does not answer: the operator changes nothing, and running work continues. */
export function unavailable(message: string): Plan<never> {
  return {
    actions: [],
    summary: {
      kind: 'unknown',
      reason: 'TemporalUnavailable',
      message: `${sentence(message)} Active work continues; the operator changes nothing until Temporal answers.`,
    },
    own: [],
    after: REFRESH.unavailable,
  };
}

/** Returns the plan for an invalid spec: wait for a person. */
export function invalid(problems: readonly string[]): Plan<never> {
  return {
    actions: [],
    summary: { kind: 'stalled', reason: 'InvalidSpec', message: problems.join('; ') },
    own: [],
  };
}

/** Returns whether a person allowed, by an annotation, an action that the operator otherwise does not take. */
export function annotated(object: { metadata: { annotations?: Record<string, string> } }, annotation: string): boolean {
  return object.metadata.annotations?.[annotation] === 'true';
}

/** A named check of a plan: returns the plan if it applies. */
export type Check<Facts, P> = (facts: Facts) => P | undefined;

/** Returns the plan of the first check that applies; undefined when none does. */
export function firstOf<Facts, P>(checks: readonly Check<Facts, P>[], facts: Facts): P | undefined {
  for (const check of checks) {
    const plan = check(facts);
    if (plan) return plan;
  }
  return undefined;
}
