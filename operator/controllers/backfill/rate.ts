import type { BackfillStatus } from '../../../crds/backfill.ts';
import type { BackfillProgress } from '../../../worker/contract.ts';

/** Progress of a backfill at an instant (milliseconds since 1970). */
export interface Sample {
  readonly at: number;
  readonly attempt: number;
  /** Buckets that succeeded or failed in this backfill. Skipped ones take no time and do not count. */
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

/** The rate is that of the last ten minutes: long enough for a bucket or two to end, short enough to show added workers. */
const WINDOW = 600_000;

/** Returns the progress as a sample. `now`: milliseconds since 1970. */
export function sampleOf(progress: BackfillProgress, now: number): Sample {
  const { succeeded, failed, skipped, total, counts, attempt } = progress;
  const ended = succeeded + failed;
  return { at: now, attempt, ended, left: total - ended - skipped, measurements: counts.read, bytes: counts.bytes };
}

/**
 * Returns a sample of the past from which the rate in a status follows, for a process that has no samples yet. A new leader would otherwise erase the
 * rate of every running Backfill, and write it again in the next pass. Empty without a rate, or with that of another attempt.
 */
export function restored({ rate, attempt, startedAt }: BackfillStatus, sample: Sample): Sample[] {
  if (!rate || !startedAt || attempt !== sample.attempt) return [];
  const at = Math.max(sample.at - WINDOW, Date.parse(startedAt));
  const seconds = (sample.at - at) / 1000;
  return [
    {
      ...sample,
      at,
      ended: sample.ended - (rate.bucketsPerHour * seconds) / 3600,
      measurements: sample.measurements - rate.measurementsPerSecond * seconds,
      bytes: sample.bytes - rate.bytesPerSecond * seconds,
    },
  ];
}

/** Returns the samples to keep after a new one: those of the same attempt within the window, and one at or before its beginning. */
export function keep(samples: readonly Sample[], sample: Sample): Sample[] {
  const same = samples.filter(one => one.attempt === sample.attempt && one.ended <= sample.ended);
  const first = same.findLastIndex(one => one.at <= sample.at - WINDOW);
  return [...same.slice(Math.max(0, first)), sample];
}

/** Returns the rate between the first and the last sample; undefined while no time has passed between them. */
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

/** Returns the end at this rate, in milliseconds since 1970; undefined while nothing progresses. */
export function etaOf(samples: readonly Sample[]): number | undefined {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last || last.ended <= first.ended || last.left === 0) return undefined;
  return last.at + (last.left * (last.at - first.at)) / (last.ended - first.ended);
}
