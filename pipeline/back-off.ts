/** Waits between attempts, in milliseconds. */
export interface Waits {
  /** Wait after the first failure. It doubles with each further one. */
  readonly initial: number;
  readonly longest: number;
}

/** Returns the wait in milliseconds after the n-th failure in a row (n from 1). */
export function doubledWait(failures: number, { initial, longest }: Waits): number {
  // Beyond 2^30 the limit applies anyway.
  return Math.min(longest, initial * 2 ** Math.min(failures - 1, 30));
}

/**
 * Returns the wait in milliseconds after the n-th failure in a row, between half and the whole of `doubledWait`, so that the clients of one
 * broken server do not return at the same moment.
 *
 * @param random in [0, 1)
 */
export function backOff(failures: number, waits: Waits, random = Math.random()): number {
  return Math.round(doubledWait(failures, waits) * (0.5 + random / 2));
}
