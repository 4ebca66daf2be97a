import type { Clock } from '../kube/clock.ts';

/**
 * Returns a function that shares one request between concurrent callers, and its answer between all callers within `ttl` milliseconds.
 * Temporal allows ten visibility requests a second, and every resource needs the same answer. Concurrent callers also share a failure.
 */
export function shared<T>(clock: Pick<Clock, 'monotonic'>, ttl: number, request: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  let at = 0;
  return () => {
    if (!answer || clock.monotonic() - at >= ttl) {
      at = clock.monotonic();
      answer = request();
      const own = answer;
      own.catch(() => {
        if (answer === own) answer = undefined;
      });
    }
    return answer;
  };
}
