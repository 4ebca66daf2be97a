import { expect, test } from 'vitest';
import { makeArchive } from '../../test/support/archive.ts';
import { EVERYTHING, normaliseFilter } from '../filter.ts';
import { findBuckets } from './find-buckets.ts';

const KEYS = [
  'canned/2018-07-04/web_connectivity.0.tar.lz4',
  'jsonl/telegram/IT/20200921/00/20200921_IT_telegram.l.0.jsonl.gz',
  'raw/20230530/18/US/signal/2023053018_US_signal.n1.0.jsonl.gz',
  'raw/20230530/19/IT/webconnectivity/2023053019_IT_webconnectivity.n1.0.tar.gz',
  'raw/20230530/20/notes.txt',
  'elsewhere/2021081715_US_signal.n0.0.jsonl.gz',
];

test.each([
  ['every day', EVERYTHING, 'Day', ['2018-07-04', '2020-09-21', '2023-05-30']],
  ['every hour', EVERYTHING, 'Hour', ['2018-07-04T00', '2020-09-21T00', '2023-05-30T18', '2023-05-30T19']],
  // The key of a tar can has no country; only its measurements have.
  ['a country', normaliseFilter({ probeCC: ['it'] }), 'Hour', ['2018-07-04T00', '2020-09-21T00', '2023-05-30T19']],
  ['a test', normaliseFilter({ testNames: ['signal'] }), 'Day', ['2023-05-30']],
  ['nothing', normaliseFilter({ testNames: ['tor'] }), 'Day', []],
] as const)('the buckets of an archive: %s', async (_, filter, granularity, expected) => {
  const { archive } = makeArchive(Object.fromEntries(KEYS.map(key => [key, 'x'])));
  expect(await findBuckets(archive, filter, granularity)).toEqual(expected);
});
