import type { Archive } from '../../pipeline/archive/archive.ts';
import { ArchiveWaits } from '../../pipeline/archive/archive-waits.ts';
import type { BatchStage } from '../../pipeline/runs/batch.ts';
import { ARCHIVE_SLOW } from '../contract.ts';
import type { WaitNote } from './waits.ts';

/** Seconds over which the waits for the archive are added. */
const WINDOW = 30;
/** Share of the window from which the archive is what an activity waits for. A fast archive takes a few percent. */
const SHARE = 0.9;
/** Milliseconds between two looks at the waits of an activity that does not report them itself. */
const INTERVAL = 5_000;

/** Notes as the wait of an activity that it has waited for the archive, and done little else, for nearly all of the last half minute. */
export class SlowArchive {
  readonly #wait: WaitNote;
  readonly #url: string;
  #stages: { readonly at: number; readonly stage: BatchStage; readonly seconds: number }[] = [];

  constructor(wait: WaitNote, url: string) {
    this.#wait = wait;
    this.#url = url;
  }

  /** Takes the seconds of a stage since the last call for it. `now`: milliseconds of a monotonic clock. */
  took(stage: BatchStage, seconds: number, now = performance.now()): void {
    this.#stages = [...this.#stages, { at: now, stage, seconds }].filter(({ at }) => at > now - WINDOW * 1000);
    const fetch = this.#sum(stage => stage === 'fetch');
    const work = this.#sum(stage => stage === 'unpack' || stage === 'transform');
    if (fetch < SHARE * WINDOW || work > (1 - SHARE) * WINDOW) return;
    const message = `the run spent nearly all of the last ${WINDOW} s waiting for ${this.#url}`;
    this.#wait.note({ reason: ARCHIVE_SLOW, message }, 0);
  }

  #sum(counts: (stage: BatchStage) => boolean): number {
    return this.#stages.reduce((sum, { stage, seconds }) => (counts(stage) ? sum + seconds : sum), 0);
  }
}

/** Runs the work of an activity with an archive. If the archive is slow, the activity reports that as its wait. */
export async function reportingSlowArchive<T>(
  archive: Archive,
  wait: WaitNote,
  work: (archive: Archive) => Promise<T>,
): Promise<T> {
  const waits = new ArchiveWaits();
  const slow = new SlowArchive(wait, archive.url);
  let known = 0;
  const timer = setInterval(() => {
    const { milliseconds } = waits;
    slow.took('fetch', (milliseconds - known) / 1000);
    known = milliseconds;
  }, INTERVAL);
  try {
    return await work(waits.measured(archive));
  } finally {
    clearInterval(timer);
  }
}
