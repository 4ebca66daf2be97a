import { describe, expect, it } from 'vitest';
import { isUid, trivialId } from './uid.ts';

describe('trivialId', () => {
  it('consists of version, start day and SHAKE-128 of the line (FIPS 202: SHAKE128 of nothing begins 7f9c2ba4e88f827d6160455076058)', () => {
    expect(trivialId(Buffer.alloc(0), '2020-09-21 00:00:24', false)).toBe('01202009217f9c2ba4e88f827d61604550760585');
  });

  it('includes the newline of a line that has one (expected value: Python, hashlib.shake_128)', () => {
    const line = Buffer.from('{"measurement_start_time": "2018-01-02 03:04:05"}');
    expect(trivialId(line, '2018-01-02 03:04:05', true)).toBe('012018010238d1310534759885c19639b4f58adc');
    expect(trivialId(line, '2018-01-02 03:04:05', false)).not.toBe('012018010238d1310534759885c19639b4f58adc');
  });

  it.each([[undefined], [null], [5], [''], ['2020-13-01 00:00:00'], ['2020-09-21T00:00:24Z']])(
    'has no day for %j',
    time => {
      expect(trivialId(Buffer.alloc(0), time, false)).toMatch(/^0100000000/);
    },
  );
});

describe('isUid', () => {
  const START = '2020-09-21 00:00:24';
  it.each([
    ['20210614004521.999962_JO_signal_68eb19b439326d60', '2021-06-14', true],
    ['20210614004521.999962_JO_signal_68eb19b439326d60', '2021-06-13T23', true],
    ['20210614004521.999962_JO_signal_68eb19b439326d60', '2024-01-01', true],
    ['20210614004521.999962_JO_signal_68eb19b439326d60', '1984-01-01', true],
    ['20210614004521.999962_JO_signal_68eb19b439326d60', '2021-06-12', false],
    ['19990614004521.999962_JO_signal_68eb19b439326d60', '2021-06-14', false],
    ['20210631004521.999962_JO_signal_68eb19b439326d60', '2021-07-14', false],
    ['20211314004521.999962_JO_signal_68eb19b439326d60', '2022-07-14', false],
    ['20210614004521.999962_jo_signal_68eb19b439326d60', '2021-06-14', false],
    ['20210614004521.999962_JO_web_connectivity_68eb19b439326d60', '2021-06-14', false],
    ['20210614004521_JO_signal_68eb19b439326d60', '2021-06-14', false],
    ['20210614004521.999962_JO_signal_68eb19b439326d6', '2021-06-14', false],
    [`0120200921${'a'.repeat(30)}`, '2020-09-21', true],
    [`0120200922${'a'.repeat(30)}`, '2020-09-21', false],
    [`0120200921${'A'.repeat(30)}`, '2020-09-21', false],
    ['', '2020-09-21', false],
    [null, '2020-09-21', false],
    [{}, '2020-09-21', false],
  ])('%j in %s: %s', (uid, bucket, expected) => expect(isUid(uid, START, bucket)).toBe(expected));
});
