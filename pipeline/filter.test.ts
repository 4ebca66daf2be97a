import { describe, expect, it } from 'vitest';
import { admits, EVERYTHING, filterIDOf, normaliseFilter } from './filter.ts';

describe('filter', () => {
  it('normalises the forms that people write', () => {
    const written = normaliseFilter({
      probeCC: ['us', ' IT', 'US', ''],
      testNames: ['Web_Connectivity', 'webconnectivity', 'signal'],
    });
    expect(written).toEqual({ probeCC: ['IT', 'US'], testNames: ['signal', 'webconnectivity'] });
  });

  it('forms ids as the spec defines them', () => {
    expect(filterIDOf(normaliseFilter({ probeCC: ['US', 'IT'], testNames: ['signal'] }))).toBe('it.us-signal');
    expect(filterIDOf(EVERYTHING)).toBe('ALLCCS-ALLTNS');
    expect(filterIDOf(normaliseFilter({ testNames: ['signal'] }))).toBe('ALLCCS-signal');
  });

  it('admits an unknown value, because only the measurement itself has it', () => {
    expect(admits([], 'IT')).toBe(true);
    expect(admits(['IT'], 'IT')).toBe(true);
    expect(admits(['IT'], 'US')).toBe(false);
    expect(admits(['IT'], undefined)).toBe(true);
  });
});
