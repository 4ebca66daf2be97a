import { expect, test } from 'vitest';
import { clusterProblem, syncStatement } from './cluster.ts';

test.each([
  [{ shards: 1, known: ['ooni'] }, undefined],
  [{ shards: 0, known: ['a', 'b'] }, /does not know; it knows a, b$/],
  [{ shards: 0, known: [] }, /does not know; it knows none$/],
  [{ shards: 3, known: ['ooni'] }, /has 3 shards\. .*Name a cluster with one shard/],
])('a cluster of shape %j', (shape, problem) => {
  if (problem) expect(clusterProblem('ooni', shape)).toMatch(problem);
  else expect(clusterProblem('ooni', shape)).toBeUndefined();
});

test('synchronising replicas waits for fetches only', () => {
  expect(syncStatement('ooni', 'obs_web')).toBe('SYSTEM SYNC REPLICA ON CLUSTER `ooni` `obs_web` LIGHTWEIGHT');
});
