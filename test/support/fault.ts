import fc from 'fast-check';

/** A fault of one request between the operator and a server. */
export type Fault =
  /** The proxy answers with this status (of HTTP or gRPC). The server receives nothing. */
  | { readonly refuse: number }
  /** The request is held back for that many milliseconds. */
  | { readonly delay: number }
  /** The server executes the request, and the connection breaks before the response. */
  | 'lose'
  /** The server executes the request twice. The operator gets the second response. */
  | 'replay';

/** Returns the fault as a word or two. `statuses`: names of statuses. */
export function nameOf(fault: Fault, statuses: Readonly<Record<number, string>> = {}): string {
  if (fault === 'lose') return 'response lost';
  if (fault === 'replay') return 'replayed';
  return 'delay' in fault ? 'delayed' : (statuses[fault.refuse] ?? String(fault.refuse));
}

/**
 * Returns an endless random sequence of faults. About every other request has none. The same seed gives the same sequence; `refusals` has the
 * statuses that occur.
 */
export function randomFaults(seed: number, refusals: readonly number[]): () => Fault | undefined {
  const fault: fc.Arbitrary<Fault | undefined> = fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    { weight: 3, arbitrary: fc.constantFrom(...refusals).map(refuse => ({ refuse })) },
    { weight: 1, arbitrary: fc.integer({ min: 100, max: 3000 }).map(delay => ({ delay })) },
    { weight: 1, arbitrary: fc.constant<Fault>('lose') },
    { weight: 1, arbitrary: fc.constant<Fault>('replay') },
  );
  const [stream] = fc.sample(fc.infiniteStream(fault), { seed, numRuns: 1 });
  return () => stream?.next().value;
}
