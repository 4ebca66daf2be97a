import type { Clock } from '../kube/clock.ts';

/**
 * One answer for all who ask within `ttl` milliseconds, and one request for all who ask at once: Temporal allows ten visibility
 * requests a second, and every resource asks the same. A failed request is shared too, by those who wait for it.
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
