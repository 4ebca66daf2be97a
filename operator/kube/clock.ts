/**
 * Time and randomness as one parameter. Everything that waits, expires or uses jitter takes a Clock, so that a test can run hours in
 * milliseconds and choose the random numbers.
 */
export interface Clock {
  /** Wall time in milliseconds since 1970, for display and storage. It can jump. */
  now(): number;
  /** Milliseconds since an arbitrary start, for durations and expiry. It never goes back. */
  monotonic(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Calls `action` once after `ms` milliseconds; the result cancels it. A pending action does not keep the process alive. */
  after(ms: number, action: () => void): () => void;
}

/** Two clocks at one moment: wall time in milliseconds since 1970, and milliseconds of the monotonic clock. */
export interface Moment {
  readonly wall: number;
  readonly monotonic: number;
}

/** Timers of Node overflow beyond 2^31 - 1 ms and would fire at once, so longer waits are cut to a day. */
const LONGEST_TIMER = 86_400_000;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  after(ms, action) {
    const timer = setTimeout(action, Math.min(Math.max(ms, 0), LONGEST_TIMER));
    return () => clearTimeout(timer);
  },
};

/** Resolves after `ms` milliseconds; rejects with the signal's reason as soon as that aborts. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Returns a duration spread evenly over [ms * (1 - share), ms * (1 + share)], so that replicas and watches do not act in step. */
export function jittered(clock: Clock, ms: number, share: number): number {
  return ms * (1 - share + 2 * share * clock.random());
}

/** Returns an AbortController that follows a parent signal until `unlink`, so that no listener remains on a parent that lives for days. */
export function linked(parent: AbortSignal | undefined): { controller: AbortController; unlink: () => void } {
  const controller = new AbortController();
  if (parent?.aborted) controller.abort(parent.reason);
  const onAbort = () => controller.abort(parent?.reason);
  parent?.addEventListener('abort', onAbort, { once: true });
  return { controller, unlink: () => parent?.removeEventListener('abort', onAbort) };
}
