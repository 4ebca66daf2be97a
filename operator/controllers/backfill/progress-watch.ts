import { hashOf } from '../../hash.ts';
import type { BackfillState } from '../../temporal/backfills.ts';

/** Measures for how long running backfills have not progressed. Each process begins at zero. */
export class ProgressWatch {
  readonly #last = new Map<string, { readonly mark: string; readonly since: number }>();

  /**
   * Returns the milliseconds since the last progress of the active runs; undefined while none is active, or while the progress is unknown.
   *
   * @param now milliseconds of a monotonic clock
   */
  stillFor(key: string, state: BackfillState, now: number): number | undefined {
    if (state.state !== 'running' || !state.progress || state.progress.active === 0) {
      this.#last.delete(key);
      return undefined;
    }
    const { succeeded, failed, skipped, counts } = state.progress;
    const mark = hashOf([succeeded, failed, skipped, counts, state.pulse]);
    const last = this.#last.get(key);
    if (last?.mark === mark) return now - last.since;
    this.#last.set(key, { mark, since: now });
    return 0;
  }

  forget(key: string): void {
    this.#last.delete(key);
  }
}
