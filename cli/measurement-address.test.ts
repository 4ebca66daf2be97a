import { expect, test } from 'vitest';
import { parseMeasurement } from './measurement-address.ts';

const UID = '20230530181234.567890_US_signal_0123456789abcdef';
const REPORT = '20230530T181234Z_webconnectivity_IT_30722_n1_abcDEF';

test.each([
  [UID, { uid: UID }],
  [` ${UID}\n`, { uid: UID }],
  ['012020030292c59d8ec76147a83dccd9856276a1', { uid: '012020030292c59d8ec76147a83dccd9856276a1' }],
  [`https://explorer.ooni.org/m/${UID}`, { uid: UID }],
  [`http://explorer.ooni.org/m/${UID}/`, { uid: UID }],
  [`explorer.ooni.org/m/${UID}`, { uid: UID }],
  [`https://explorer.ooni.org/it/m/${UID}?foo=bar#part`, { uid: UID }],
  [`https://explorer.ooni.org/measurement/${UID}?input=http%3A%2F%2Fexample.com%2F`, { uid: UID }],
  [
    `https://explorer.ooni.org/measurement/${REPORT}?input=http%3A%2F%2Fexample.com%2F%3Fa%3D1`,
    { reportID: REPORT, input: 'http://example.com/?a=1' },
  ],
  [`https://explorer.ooni.org/measurement/${REPORT}`, { reportID: REPORT }],
  [`https://explorer.ooni.torproject.org/measurement/${REPORT}`, { reportID: REPORT }],
  [`https://api.ooni.io/api/v1/measurement/${UID}`, { uid: UID }],
  [`https://api.ooni.org/api/v1/raw_measurement?measurement_uid=${UID}`, { uid: UID }],
  ['https://explorer.ooni.org/m/', undefined],
  ['https://explorer.ooni.org/chart/mat', undefined],
  [`https://example.com/m/${UID}`, undefined],
  ['https://ooni.org.example.com/m/x', undefined],
  ['https://explorer.ooni.org/m/%zz', undefined],
  ['https://', undefined],
  ['two words', undefined],
  ['', undefined],
])('%s', (text, address) => {
  expect(parseMeasurement(text)).toEqual(address);
});
