import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseStartTime } from './time.ts';

test.each([
  ['2024-01-02 03:04:05', '2024-01-02T03:04:05Z'],
  ['2024-1-2 3:4:5', '2024-01-02T03:04:05Z'],
  ['2020-2-29  1:2:3', '2020-02-29T01:02:03Z'],
  ['2024-01-02  03:04:05', '2024-01-02T03:04:05Z'],
  ['2024-02-29 23:59:59', '2024-02-29T23:59:59Z'],
  ['0099-01-02 03:04:05', '0099-01-02T03:04:05Z'],
  ['9999-12-31 23:59:59', '9999-12-31T23:59:59Z'],
])('%s is %s', (text, instant) => expect(parseStartTime(text)).toBe(Date.parse(instant)));

test.each([
  '2023-02-29 00:00:00',
  '2024-00-01 00:00:00',
  '2024-13-01 00:00:00',
  '2024-01-00 00:00:00',
  '2024-01-32 00:00:00',
  '2024-01-02 24:00:00',
  '2024-01-02 00:60:00',
  '2024-01-02 00:00:60',
  '0000-01-01 00:00:00',
  '2024-01-02T03:04:05',
  '2024-01-02',
  ' 2024-01-02 03:04:05',
  '2024-01-02 03:04:0x',
  '2024-01-02 03:04:/5',
  '2024/01/02 03:04:05',
  'x',
  '',
])('%j is not a time', text => expect(parseStartTime(text)).toBeUndefined());

test('reads every instant with two digits as Date does', () => {
  const range = { min: new Date('0100-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true };
  fc.assert(
    fc.property(fc.date(range), date => {
      const text = date.toISOString().slice(0, 19);
      expect(parseStartTime(text.replace('T', ' '))).toBe(Date.parse(`${text}Z`));
    }),
  );
});
