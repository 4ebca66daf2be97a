import type { BackfillStatus } from '../../../crds/backfill.ts';
import type { BackfillProgress } from '../../../worker/contract.ts';
import type { RunningBackfill } from '../../temporal/backfills.ts';
import { blockedStatus, shorten } from '../blocked.ts';
import { seconds } from '../conditions.ts';
import { type TemporalUI, workflowLink } from '../links.ts';
import { skippedFor } from './ended-workflow.ts';
import { type BackfillPlan, type ObservedBackfill, workflowIDOf } from './plan-types.ts';
import { etaOf, rateOf, type Sample } from './rate.ts';

/** Milliseconds between two values of `seenAt`, so that it does not cause a write in each pass. */
const SEEN = 600_000;

type Body = Omit<BackfillStatus, 'conditions' | 'observedGeneration'>;

/** Values beside the observation and the plan that a status shows. */
export interface StatusContext {
  /** Progress by time, from which the rate is computed. */
  readonly samples: readonly Sample[];
  readonly installation: string;
  readonly ui: TemporalUI;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * Returns the status of a Backfill without conditions. Values that cannot be read now keep their former value, so that an outage of
 * Temporal or the workers does not erase the figures of a run.
 */
export function backfillStatus(
  observed: ObservedBackfill,
  plan: BackfillPlan,
  { samples, installation, ui, now }: StatusContext,
): Body {
  const { object, workflow, stillSince } = observed;
  const {
    conditions: _,
    observedGeneration: __,
    rate: ___,
    eta: ____,
    blockedBy: _____,
    noProgressSince: ______,
    ...before
  } = object.status ?? {};
  const id = workflowIDOf(object, installation);
  const link = workflowLink(ui, id);
  const base: Body = { ...before, ...(link && { links: { workflow: link } }) };
  if (!workflow.known) return { ...base, phase: before.phase ?? 'Pending' };
  const state = workflow.value;
  const failed = plan.own.find(({ type }) => type === 'Failed')?.reason;
  if (state.state === 'absent') {
    // The end was not seen; this time is the latest possible one.
    const finishedAt = before.finishedAt ?? seconds(now);
    if (failed === 'Cancelled' && (!before.workflowID || before.phase === 'Planned')) {
      return { ...base, phase: 'Cancelled', finishedAt };
    }
    const { progress } = before;
    // Temporal runs no workflow that it does not know.
    const idle = { ...base, ...(progress && { progress: { ...progress, active: 0 } }) };
    if (failed !== 'ResultExpired') return { ...idle, phase: before.phase ?? 'Pending' };
    return { ...idle, phase: 'Failed', finishedAt };
  }
  const known: Body = { ...base, workflowID: id, startedAt: seconds(state.startedAt), attempt: state.attempt };
  delete known.finishedAt;
  if (state.state === 'running') {
    known.seenAt = seconds(Math.floor(now / SEEN) * SEEN);
    // A final phase in the status belongs to the previous attempt.
    const last = before.finishedAt ? 'Pending' : (before.phase ?? 'Pending');
    if (!state.progress) return { ...known, phase: last, ...blockedByOf(state, ui) };
    const eta = state.progress.phase === 'Running' ? etaOf(samples) : undefined;
    const rate = state.progress.active > 0 ? rateOf(samples) : undefined;
    return {
      ...known,
      ...figures(state.progress, state.attempt, ui),
      phase: state.progress.phase,
      ...blockedByOf(state, ui),
      ...(rate && { rate }),
      ...(eta !== undefined && { eta: seconds(eta) }),
      ...(stillSince !== undefined && { noProgressSince: seconds(stillSince) }),
    };
  }
  const finishedAt = seconds(state.result?.finishedAt ? Date.parse(state.result.finishedAt) : state.endedAt);
  if (state.result) {
    // The work of a dry run can be cancelled before it begins.
    const phase = failed === 'Cancelled' ? 'Cancelled' : state.result.phase;
    return { ...known, ...figures(state.result, state.attempt, ui), phase, finishedAt };
  }
  const { progress } = known;
  return {
    ...known,
    ...(progress && { progress: { ...progress, active: 0 } }),
    phase: state.ending === 'CANCELLED' ? 'Cancelled' : 'Failed',
    finishedAt,
  };
}

function blockedByOf({ blockedBy }: RunningBackfill, ui: TemporalUI): Body {
  return blockedBy ? { blockedBy: blockedStatus(blockedBy, ui) } : {};
}

function figures(progress: BackfillProgress, startedWith: number, ui: TemporalUI): Body {
  const { plan, total, succeeded, failed, skipped, active, counts, attempt } = progress;
  const done = succeeded + failed + skipped;
  const why = skippedFor(progress);
  return {
    ...(plan && { plan: { ...plan, skipped: { ...plan.skipped } as Record<string, number> } }),
    progress: {
      total,
      succeeded,
      failed,
      skipped,
      ...(why && { skippedFor: why }),
      active,
      // Rounded down, so that 100 means all. A backfill without buckets is done.
      percent: total === 0 ? (progress.finishedAt ? 100 : 0) : Math.floor((100 * done) / total),
      done: `${done}/${total}`,
    },
    bytes: counts.bytes,
    measurements: counts.read,
    attempt: Math.max(attempt, startedWith),
    failures: progress.failures.slice(-10).map(({ bucket, reason, message, workflowID }) => {
      const link = workflowLink(ui, workflowID);
      return { bucket, reason, message: shorten(message), ...(link && { link }) };
    }),
  };
}
