import { expect, test } from 'vitest';
import { instruments } from '../../test/support/kube.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Client } from './client.ts';
import { LeaderLease } from './lease.ts';

test('a slow read before the write does not shorten a lease that was just won', async () => {
  const clock = new ManualClock();
  const client = {
    // Slow, but within the timeout of a request.
    find: async () => {
      await clock.advance(9_500);
      return undefined;
    },
    create: async (_: unknown, object: object) => ({ ...object, metadata: { name: 'x', resourceVersion: '1' } }),
    replace: async (_: unknown, object: object) => object,
  } as unknown as Client;
  const lease = new LeaderLease({ client, namespace: 'n', name: 'x', instruments: instruments(clock) });
  await lease.hold(new AbortController().signal, async () => {
    // The renew deadline is 10 s, and another process may take the lease 5 s later.
    expect(lease.assertHeld()).toBe(15_000);
  });
});
