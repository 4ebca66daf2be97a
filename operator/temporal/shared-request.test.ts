import { expect, test } from 'vitest';
import { shared } from './shared-request.ts';

test('concurrent callers share one request, and later ones its answer for a while', async () => {
  let now = 0;
  let requests = 0;
  const ask = shared({ monotonic: () => now }, 1000, async () => ++requests);
  expect(await Promise.all([ask(), ask(), ask()])).toEqual([1, 1, 1]);
  now = 999;
  expect(await ask()).toBe(1);
  now = 1000;
  expect(await ask()).toBe(2);
});

test('callers that wait share a failure, and the next caller requests again', async () => {
  let requests = 0;
  const ask = shared({ monotonic: () => 0 }, 1000, async () => {
    if (++requests === 1) throw new Error('away');
    return requests;
  });
  const [first, second] = await Promise.allSettled([ask(), ask()]);
  expect([first?.status, second?.status]).toEqual(['rejected', 'rejected']);
  expect(await ask()).toBe(2);
});
