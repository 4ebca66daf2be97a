import { setTimeout as sleep } from 'node:timers/promises';

export interface RetryOptions {
  /** Tries altogether. */
  readonly attempts: number;
  /** Milliseconds before the second try; doubles with each further one. */
  readonly initial: number;
  /** Longest wait, milliseconds. */
  readonly longest: number;
  readonly signal?: AbortSignal;
  /** Told of each failure that is tried again, with the wait in milliseconds. */
  readonly onRetry?: (error: Error, attempt: number, wait: number) => void;
  /** In [0, 1); spreads the waits so that many clients of one broken server do not come back at the same moment. */
  readonly random?: () => number;
}

/** About a minute altogether: enough for a restart of the server; what takes longer is left to the activity's own retries. */
export const PATIENT: RetryOptions = { attempts: 8, initial: 250, longest: 15_000 };

/** Waits before the tries 2, 3, ...: doubling, up to the longest, each between half and the whole of that. */
export function backOff(attempt: number, options: Pick<RetryOptions, 'initial' | 'longest'>, random: number): number {
  const whole = Math.min(options.longest, options.initial * 2 ** (attempt - 1));
  return Math.round(whole * (0.5 + random / 2));
}

/**
 * Runs `work` until it succeeds, fails with an error that is not transient, or the tries are used up; then throws the last error.
 * A wait ends at once when the signal fires, with the signal's reason.
 */
export async function retry<T>(work: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const random = options.random ?? Math.random;
  for (let attempt = 1; ; attempt++) {
    options.signal?.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!isTransient(error) || attempt >= options.attempts) throw error;
      const wait = backOff(attempt, options, random());
      options.onRetry?.(error, attempt, wait);
      await sleep(wait, undefined, { signal: options.signal }).catch(() => options.signal?.throwIfAborted());
    }
  }
}

/** True for errors that say of themselves that trying again may help. */
export function isTransient(error: unknown): error is Error & { transient: true } {
  return error instanceof Error && 'transient' in error && error.transient === true;
}
