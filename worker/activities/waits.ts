import { AsyncLocalStorage } from 'node:async_hooks';
import { errorType } from '../../pipeline/runs/failure.ts';

/** Cause for which an activity waits within an attempt. The heartbeat carries it, so that the operator can show it. */
export interface Wait {
  /** An error type such as `ClickHouseUnavailable`. */
  readonly reason: string;
  readonly message: string;
}

/** Milliseconds for which a wait is shown after the retry has begun: a successful retry is not reported. */
const GRACE = 30_000;

/** The last wait of one activity. */
export class WaitNote {
  #wait: Wait | undefined;
  #until = 0;

  /** `wait`: milliseconds until the retry. */
  note(cause: Wait, wait: number, now = Date.now()): void {
    this.#wait = cause;
    this.#until = now + wait + GRACE;
  }

  current(now = Date.now()): Wait | undefined {
    return now < this.#until ? this.#wait : undefined;
  }
}

/** The note of the activity that runs in the current asynchronous context. */
export const activityWait = new AsyncLocalStorage<WaitNote>();

/** Notes for the current activity that a statement failed and is retried after `wait` milliseconds. */
export function noteRetry(error: Error, wait: number): void {
  activityWait.getStore()?.note({ reason: errorType(error), message: error.message }, wait);
}
