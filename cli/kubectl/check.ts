/** Result of one check. `unknown`: it could not be checked from here, which is not an error of the installation. */
export interface Check {
  readonly check: string;
  readonly state: 'ok' | 'warning' | 'failed' | 'unknown';
  readonly message: string;
  readonly remedy?: string;
}

export type Outcome = Omit<Check, 'check'>;
export const ok = (message: string): Outcome => ({ state: 'ok', message });
export const bad = (state: Check['state'], message: string, remedy: string): Outcome => ({ state, message, remedy });

/** Milliseconds for one check. A server that hangs must not stop the other checks. */
const ANSWER = 15_000;

/** Returns a function that runs a check. One of the `expected` errors makes its result unknown, and so does no answer in time. */
export function checker(...expected: readonly (abstract new (...args: never[]) => Error)[]) {
  return async (name: string, remedy: string, work: (signal: AbortSignal) => Promise<Outcome>): Promise<Check> => {
    const stop = new AbortController();
    const late = Promise.withResolvers<Outcome>();
    const timer = setTimeout(() => {
      late.resolve(bad('unknown', `gave no answer within ${ANSWER / 1000} s`, remedy));
      stop.abort();
    }, ANSWER);
    try {
      return { check: name, ...(await Promise.race([late.promise, work(stop.signal)])) };
    } catch (error) {
      if (!expected.some(kind => error instanceof kind)) throw error;
      return { check: name, ...bad('unknown', (error as Error).message, remedy) };
    } finally {
      clearTimeout(timer);
    }
  };
}
