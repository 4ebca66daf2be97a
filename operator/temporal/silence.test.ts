import { expect, test } from 'vitest';
import { WorkerSilence } from './silence.ts';

test('after three unanswered queries only one every five seconds looks for a worker, until one answers', () => {
  let now = 0;
  const silence = new WorkerSilence({ monotonic: () => now });
  for (let query = 1; query <= 3; query++) {
    expect(silence.expected()).toBe(false);
    silence.note(false);
  }
  const expected = () => Array.from({ length: 3 }, () => silence.expected());
  expect(expected()).toEqual([true, true, true]);
  now = 5_000;
  expect(expected()).toEqual([false, true, true]);
  silence.note(false);
  expect(expected()).toEqual([true, true, true]);
  now = 10_000;
  expect(silence.expected()).toBe(false);
  silence.note(true);
  expect(expected()).toEqual([false, false, false]);
});
