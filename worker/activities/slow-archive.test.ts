import { expect, test } from 'vitest';
import type { BatchStage } from '../../pipeline/runs/batch.ts';
import { SlowArchive } from './slow-archive.ts';
import { WaitNote } from './waits.ts';

/** Reports seconds of stages every five seconds, as a batch does. Returns the wait that the activity shows then. */
function waitAfter(reports: readonly Partial<Record<BatchStage, number>>[]) {
  const note = new WaitNote();
  const slow = new SlowArchive(note, 's3://ooni-data-eu-fra');
  reports.forEach((stages, index) => {
    for (const [stage, seconds] of Object.entries(stages)) {
      slow.took(stage as BatchStage, seconds, (index + 1) * 5_000);
    }
  });
  return note.current();
}

const hanging = { fetch: 5, unpack: 0, transform: 0 };

test('an archive that takes nearly all of half a minute is what the activity waits for', () => {
  expect(waitAfter(Array(5).fill(hanging))).toBeUndefined();
  expect(waitAfter(Array(6).fill(hanging))).toEqual({
    reason: 'ArchiveSlow',
    message: 'the run spent nearly all of the last 30 s waiting for s3://ooni-data-eu-fra',
  });
  // Short answers between long waits do not make it fast.
  expect(waitAfter(Array(9).fill({ fetch: 4.6, unpack: 0.1, transform: 0.3 }))).toMatchObject({
    reason: 'ArchiveSlow',
  });
});

test.each([
  ['transforms', { fetch: 1, unpack: 0.5, transform: 3.5 }],
  ['unpacks objects of which the filter takes little', { fetch: 0.2, unpack: 4.8, transform: 0 }],
  ['reads ahead while it transforms', { fetch: 5, unpack: 0.5, transform: 4 }],
  ['waits for ClickHouse', { fetch: 0, unpack: 0, transform: 0 }],
])('an activity that %s does not wait for the archive', (_, stages) => {
  expect(waitAfter(Array(20).fill(stages))).toBeUndefined();
});

test('a wait that is over does not count later', () => {
  const busy = { fetch: 0.1, unpack: 1, transform: 3 };
  expect(waitAfter([...Array(5).fill(hanging), ...Array(10).fill(busy), ...Array(5).fill(hanging)])).toBeUndefined();
});
