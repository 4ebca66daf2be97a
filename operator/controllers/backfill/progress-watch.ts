import type { BackfillStatus } from '../../../crds/backfill.ts';
import { hashOf } from '../../hash.ts';
import type { Moment } from '../../kube/clock.ts';
import type { BackfillState, RunningBackfill } from '../../temporal/backfills.ts';

/** Milliseconds without progress after which the status reports it. Long statements of the analysis take minutes. */
const NO_PROGRESS = 5 * 60_000;

/** For how long the active runs of a backfill have not progressed. */
export interface Standstill {
  /** Milliseconds; undefined while no run is active, or while the progress is unknown. */
  readonly stillFor?: number;
  /** Milliseconds since 1970; undefined until five minutes have passed. */
  readonly stillSince?: number;
}

/** Watches whether running backfills progress. The status holds the time since which one does not, for the next leader. */
export class ProgressWatch {
  readonly #last = new Map<string, { readonly mark: string; readonly since: Moment }>();

  /**
   * Returns for how long the active runs have not progressed. Empty while none is active, or while the progress is unknown.
   *
   * @param before the status that was written last
   */
  look(key: string, state: BackfillState, before: BackfillStatus, now: Moment): Standstill {
    if (state.state !== 'running' || !state.progress || state.progress.active === 0) {
      this.#last.delete(key);
      return {};
    }
    const { succeeded, failed, skipped, counts } = state.progress;
    const mark = hashOf([succeeded, failed, skipped, counts, state.pulse]);
    const last = this.#last.get(key);
    const since = last?.mark === mark ? last.since : last ? now : (continued(state, before, now) ?? now);
    if (since !== last?.since) this.#last.set(key, { mark, since });
    const stillFor = now.monotonic - since.monotonic;
    return { stillFor, ...(stillFor >= NO_PROGRESS && { stillSince: since.wall }) };
  }

  forget(key: string): void {
    this.#last.delete(key);
  }
}

/** Returns the time since which another process saw no progress, if the figures are still the same; undefined otherwise. */
function continued({ progress }: RunningBackfill, before: BackfillStatus, now: Moment): Moment | undefined {
  if (!before.noProgressSince || !progress) return undefined;
  const figures = [progress.succeeded, progress.failed, progress.skipped, progress.counts.read, progress.counts.bytes];
  const { succeeded, failed, skipped } = before.progress ?? {};
  if (hashOf(figures) !== hashOf([succeeded, failed, skipped, before.measurements, before.bytes])) return undefined;
  const wall = Date.parse(before.noProgressSince);
  return { wall, monotonic: now.monotonic - Math.max(0, now.wall - wall) };
}
