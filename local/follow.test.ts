import { expect, test } from 'vitest';
import type { Backfill } from '../crds/backfill.ts';
import { problemsOf } from './follow.ts';

const blocked = (reason: string) =>
  ({ metadata: { name: 'example' }, status: { blockedBy: { reason, message: 'why' } } }) as unknown as Backfill;

test('a Backfill without a worker is a problem only when no pod is starting', () => {
  expect(problemsOf(blocked('NoWorker'), true)).toEqual([]);
  expect(problemsOf(blocked('NoWorker'), false)).toEqual(['backfill/example is blocked: NoWorker: why']);
  expect(problemsOf(blocked('ArchiveMissing'), true)).toEqual(['backfill/example is blocked: ArchiveMissing: why']);
});
