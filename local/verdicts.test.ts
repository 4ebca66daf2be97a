import { describe, expect, test } from 'vitest';
import { type Blocked, NO_VERDICTS, showVerdicts } from './verdicts.ts';

const blocked: Blocked = {
  ...{ domain: 'bit.ly', country: 'IT', layer: 'tcp', rule: 'failure_ctrl_ok' },
  ...{ measurements: 1200, first: '2024-01-22', last: '2024-01-23', grade: 0.75 },
};

describe('the verdicts as text', () => {
  test('report that nothing was judged, and that nothing is blocked', () => {
    expect(showVerdicts(NO_VERDICTS)).toMatch(/^No verdicts/);
    const none = showVerdicts({ ...NO_VERDICTS, judged: 1234 });
    expect(none).toBe('Blocked domains: none. 1,234 measurements were judged.');
  });

  test('are a table of domain, country, layer, rule, count, days and grade', () => {
    const day = { ...blocked, domain: 'example.com', layer: 'dns', measurements: 1, last: '2024-01-22', grade: 0.9 };
    const lines = showVerdicts({ judged: 2000, blocked: 1201, lines: 2, top: [blocked, day] }).split('\n');
    expect(lines[0]).toBe('Blocked domains: 1,201 of 2,000 measurements judged');
    expect(lines.slice(1, 4).map(line => line.trim().split(/ {2,}/))).toEqual([
      ['Domain', 'Country', 'Layer', 'Rule', 'Measurements', 'Days', 'Grade'],
      ['bit.ly', 'IT', 'tcp', 'failure_ctrl_ok', '1,200', '2024-01-22 to 2024-01-23', '0.75'],
      ['example.com', 'IT', 'dns', 'failure_ctrl_ok', '1', '2024-01-22', '0.90'],
    ]);
  });

  test('show control characters of a host without their effect', () => {
    const text = showVerdicts({
      judged: 1,
      blocked: 1,
      lines: 1,
      top: [{ ...blocked, domain: 'a\x1b[2J\n\u202eb.com' }],
    });
    expect(text).toContain(String.raw`a\x1b[2J\n\u202eb.com`);
  });

  test('leave out days, then layers, on a terminal that is too narrow for them', () => {
    const head = (width: number) => {
      const text = showVerdicts({ judged: 2000, blocked: 1200, lines: 1, top: [blocked] }, width);
      expect(Math.max(...text.split('\n').map(line => line.length))).toBeLessThanOrEqual(width);
      return text.split('\n')[1]!.trim().split(/ {2,}/);
    };
    expect(head(92)).toEqual(['Domain', 'Country', 'Layer', 'Rule', 'Measurements', 'Days', 'Grade']);
    expect(head(80)).toEqual(['Domain', 'Country', 'Layer', 'Rule', 'Measurements', 'Grade']);
    expect(head(60)).toEqual(['Domain', 'Country', 'Rule', 'Measurements', 'Grade']);
  });

  test('end with the number of lines not shown', () => {
    const text = showVerdicts({ judged: 2000, blocked: 1206, lines: 4, top: [blocked] });
    expect(text).toContain('and 3 more lines of 6 measurements');
  });
});
