import type { BackfillProgress } from '../../../worker/contract.ts';

/** How far a backfill was at an instant (milliseconds since 1970). */
export interface Sample {
  readonly at: number;
  readonly attempt: number;
  /** Buckets that ended in this backfill: succeeded or failed; skipped ones take no time. */
  readonly ended: number;
  readonly left: number;
  readonly measurements: number;
  readonly bytes: number;
}

export interface Rate {
  readonly bucketsPerHour: number;
  readonly measurementsPerSecond: number;
  readonly bytesPerSecond: number;
}

/** Speed is that of the last ten minutes: long enough for a bucket or two to end, short enough to notice more workers. */
const WINDOW = 600_000;

export function sampleOf(progress: BackfillProgress, now: number): Sample {
  const { succeeded, failed, skipped, total, counts, attempt } = progress;
  const ended = succeeded + failed;
  return { at: now, attempt, ended, left: total - ended - skipped, measurements: counts.read, bytes: counts.bytes };
}

/** The samples to keep when a new one comes: of the same attempt, and one at or before the beginning of the window. */
export function keep(samples: readonly Sample[], sample: Sample): Sample[] {
  const same = samples.filter(one => one.attempt === sample.attempt && one.ended <= sample.ended);
  const first = same.findLastIndex(one => one.at <= sample.at - WINDOW);
  return [...same.slice(Math.max(0, first)), sample];
}

/** Rate between the first and the last sample; undefined while there is no time between them. */
export function rateOf(samples: readonly Sample[]): Rate | undefined {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last || last.at - first.at < 1000) return undefined;
  const seconds = (last.at - first.at) / 1000;
  const rounded = (value: number) => Math.round(value * 10) / 10;
  return {
    bucketsPerHour: rounded(((last.ended - first.ended) / seconds) * 3600),
    measurementsPerSecond: rounded((last.measurements - first.measurements) / seconds),
    bytesPerSecond: Math.round((last.bytes - first.bytes) / seconds),
  };
}

/** When it ends at this rate, milliseconds since 1970; undefined while nothing moves. */
export function etaOf(samples: readonly Sample[]): number | undefined {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last || last.ended <= first.ended || last.left === 0) return undefined;
  return last.at + (last.left * (last.at - first.at)) / (last.ended - first.ended);
}
