import { setTimeout as sleep } from 'node:timers/promises';
import { backOff } from '../pipeline/back-off.ts';
import type { Logger } from '../pipeline/telemetry/log.ts';

const WAITS = { initial: 500, longest: 30_000 };

export interface StartupWatch {
  readonly log: Logger;
  /** Receives the cause of the wait. */
  readonly onWaiting: (sentence: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Retries a step that must succeed before a worker can start, without a limit. Each failure is a sentence in the log and in /readyz, and
 * the worker continues without a restart when the cause is gone. Ends early only with the signal's reason.
 *
 * @param doing completes the sentence "cannot ..."
 */
export async function retryUntilReady<T>(
  doing: string,
  work: () => Promise<T>,
  { log, onWaiting, signal }: StartupWatch,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      const wait = backOff(attempt, WAITS);
      const sentence = `cannot ${doing}: ${(error as Error).message.split('\n')[0]}`;
      onWaiting(sentence);
      log.warn({ attempt }, `${sentence}; trying again in ${(wait / 1000).toFixed(1)} s`);
      await sleep(wait, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/** Returns the result of work that cannot be interrupted. If the signal aborts first, it throws the signal's reason, and the work goes on. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
