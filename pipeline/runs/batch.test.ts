import { expect, test } from 'vitest';
import { isStray } from './batch.ts';

const file = { probeCC: 'IT', testName: 'webconnectivity', hour: '2024-01-02T05' };
const outcome = (over: object) =>
  ({
    status: 'transformed',
    uid: '20240102050000.1_IT_webconnectivity_aa',
    testName: 'web_connectivity',
    probeCC: 'IT',
    ...over,
  }) as const;

test.each([
  ['all fields as in the key', {}, file, false],
  ['another country', { probeCC: 'US' }, file, true],
  ['no country', { probeCC: undefined }, file, true],
  ['another test', { testName: 'signal' }, file, true],
  ['another hour', { uid: '20240102060000.1_IT_webconnectivity_aa' }, file, true],
  ['another day', { uid: '20240103050000.1_IT_webconnectivity_aa' }, file, true],
  ['a trivial id without an hour', { uid: '0120240102bbbb' }, file, false],
  ['a can without a country', { probeCC: 'US' }, { ...file, probeCC: undefined }, false],
])('%s', (_, over, key, stray) => {
  expect(isStray(outcome(over), key)).toBe(stray);
});
