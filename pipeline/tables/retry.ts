import { setTimeout as sleep } from 'node:timers/promises';
import { backOff, type Waits } from '../back-off.ts';

export interface RetryOptions extends Waits {
  /** Number of attempts, including the first. */
  readonly attempts: number;
  readonly signal?: AbortSignal;
  /** Called for each failure that will be retried, with the wait in milliseconds. */
  readonly onRetry?: (error: Error, attempt: number, wait: number) => void;
  /** Returns a number in [0, 1) that spreads the waits, so that the clients of one broken server do not retry at the same moment. */
  readonly random?: () => number;
}

/** About a minute in total, which is enough for a restart of the server. The activity's own retries handle longer outages. */
export const LONG_RETRY: RetryOptions = { attempts: 8, initial: 250, longest: 15_000 };

/**
 * Runs `work` until it succeeds, fails with an error that is not transient, or the attempts are used up; then throws the last error.
 * When the signal fires, a wait ends at once with the signal's reason.
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

/** Returns whether an error marks itself as transient. */
function isTransient(error: unknown): error is Error & { transient: true } {
  return error instanceof Error && 'transient' in error && error.transient === true;
}
