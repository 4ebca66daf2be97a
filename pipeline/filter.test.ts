import { describe, expect, it } from 'vitest';
import { admits, EVERYTHING, filterId, normaliseFilter } from './filter.ts';

describe('filter', () => {
  it('has one normal form for what people write', () => {
    const written = normaliseFilter({
      probeCC: ['us', ' IT', 'US', ''],
      testNames: ['Web_Connectivity', 'webconnectivity', 'signal'],
    });
    expect(written).toEqual({ probeCC: ['IT', 'US'], testNames: ['signal', 'webconnectivity'] });
  });

  it('stands in ids as the spec writes it', () => {
    expect(filterId(normaliseFilter({ probeCC: ['US', 'IT'], testNames: ['signal'] }))).toBe('it.us-signal');
    expect(filterId(EVERYTHING)).toBe('ALLCCS-ALLTNS');
    expect(filterId(normaliseFilter({ testNames: ['signal'] }))).toBe('ALLCCS-signal');
  });

  it('lets the unknown pass, because only the measurement itself can tell', () => {
    expect(admits([], 'IT')).toBe(true);
    expect(admits(['IT'], 'IT')).toBe(true);
    expect(admits(['IT'], 'US')).toBe(false);
    expect(admits(['IT'], undefined)).toBe(true);
  });
});
