import { expect, test } from 'vitest';
import { DATASET_NAMES } from '../../pipeline/reference/datasets.ts';
import type { DescribedSchedule } from '../temporal/schedules.ts';
import { planReference, referenceRequest } from './plan.ts';

const request = referenceRequest('ooni', 'fingerprints_dns');
const seen = (state: Partial<DescribedSchedule> = {}): DescribedSchedule => ({
  ownerUID: request.ownerUID,
  hash: request.hash,
  described: 'as-it-is',
  content: 'as-it-is',
  recorded: 'as-it-is',
  print: '',
  updatedAt: 1,
  paused: false,
  note: '',
  nextFirings: [],
  recent: [],
  version: { raw: {}, conflictToken: new Uint8Array() },
  ...state,
});

test('each data set has its own schedule, which fires at once and never twice at a time', () => {
  const requests = DATASET_NAMES.map(dataset => referenceRequest('ooni', dataset));
  expect(requests.map(({ id }) => id)).toEqual([
    'ooni/reference/fingerprints_dns',
    'ooni/reference/fingerprints_http',
    'ooni/reference/citizenlab',
    'ooni/reference/asnmeta',
  ]);
  // Hourly, half-hourly, weekly (analysis.md section 12).
  expect(requests.map(({ cron }) => cron)).toEqual([['7 * * * *'], ['11 * * * *'], ['17,47 * * * *'], ['23 4 * * 1']]);
  for (const each of requests) expect(each).toMatchObject({ overlap: 'Skip', fireWhenMade: true });
  expect(new Set(requests.map(({ hash }) => hash)).size).toBe(DATASET_NAMES.length);
});

test('an absent schedule is created, and one as desired is not changed', () => {
  expect(planReference(request, undefined)).toEqual({ do: 'create', pause: { paused: false, note: '' } });
  expect(planReference(request, seen())).toEqual({ do: 'nothing' });
  expect(planReference(request, seen({ recorded: undefined, updatedAt: undefined }))).toEqual({ do: 'nothing' });
  expect(planReference(request, seen({ paused: true, note: 'maintenance' }))).toEqual({ do: 'nothing' });
});

test('a schedule of another version is updated, and stays paused when a person paused it', () => {
  const pause = { paused: true, note: 'maintenance' };
  expect(planReference(request, seen({ hash: 'other', ...pause }))).toEqual({ do: 'update', pause });
});

test('a change by hand is undone, and so is one that an older version of the operator could not see', () => {
  const update = { do: 'update', pause: { paused: false, note: '' } };
  expect(planReference(request, seen({ content: 'every minute' }))).toEqual(update);
  expect(planReference(request, seen({ recorded: undefined }))).toEqual(update);
});

test("somebody else's schedule is not changed: another installation's, or one made by hand", () => {
  for (const ownerUID of [undefined, 'installation/other']) {
    expect(planReference(request, seen({ ownerUID, hash: 'other' }))).toEqual({ do: 'refuse' });
  }
});
