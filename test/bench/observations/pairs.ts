/** Estimates of the ratio between two ways of doing the same work, from blocks of passes. */

/** A median, and how much it may differ by chance. */
export interface Estimate {
  readonly median: number;
  /** Interval that contains the median of 95 % of the resamples. */
  readonly low: number;
  readonly high: number;
  /** First and third quartile of the values. */
  readonly quartiles: readonly [number, number];
}

/**
 * The ways in the order in which they take each piece: without, with, and without again. The mean place of each is the same, so a machine
 * that gets slower or faster disturbs none more.
 */
export const WAYS = ['without', 'with', 'again', 'again', 'with', 'without'] as const;
export type Way = (typeof WAYS)[number];

/**
 * Returns the time of each way over all pieces: of each piece the lesser of its two times. What disturbs one of them, such as another
 * process, or a collection that happens to fall into it, counts for none.
 *
 * @param pieces times of each piece, in the order of WAYS
 */
export function timesOf(pieces: readonly (readonly number[])[]): Record<Way, number> {
  const sum = { without: 0, with: 0, again: 0 };
  for (const times of pieces) {
    for (const way of Object.keys(sum) as Way[]) {
      sum[way] += Math.min(...times.filter((_, place) => WAYS[place] === way));
    }
  }
  return sum;
}

const RESAMPLES = 4000;

/**
 * Estimates the median of values in groups (threads, which differ for as long as they live) with a bootstrap: each resample draws groups,
 * and then values of each. The draws are the same in every run.
 */
export function estimate(groups: readonly (readonly number[])[]): Estimate {
  const random = generator(1);
  const draw = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const medians = Array.from({ length: RESAMPLES }, () =>
    quantile(
      groups.flatMap(() => {
        const group = draw(groups);
        return group.map(() => draw(group));
      }),
      0.5,
    ),
  );
  const values = groups.flat();
  return {
    median: quantile(values, 0.5),
    low: quantile(medians, 0.025),
    high: quantile(medians, 0.975),
    quartiles: [quantile(values, 0.25), quantile(values, 0.75)],
  };
}

/** Returns a quantile with linear interpolation between the two nearest values. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const next = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return sorted[below]! + (next - sorted[below]!) * (place - below);
}

/** A generator of numbers from 0 to 1 (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
