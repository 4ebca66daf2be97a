import { describe, expect, test } from 'vitest';
import { evidenceBits, FACTS } from './evidence.ts';
import { layersOf, RULES, RULES_VERSIONS } from './rules.ts';

describe.each(RULES_VERSIONS)('the evidence of version %i', version => {
  const bits = evidenceBits(version);

  test('has a separate bit for each rule, for no rule of a layer, and for each fact, because bits are added', () => {
    const row = bits.ofRow(Object.fromEntries(FACTS.map(fact => [fact, fact])));
    const numbers = [...row.matchAll(/(?<![\w+] )\b\d+\b/g)].map(([digits]) => BigInt(digits));
    const rules = layersOf(version).reduce((sum, layer) => sum + RULES[version][layer].length + 1, 0);
    expect(numbers.length).toBe(rules + FACTS.length);
    expect(numbers.reduce((sum, each) => sum + each, 0n)).toBe((1n << BigInt(numbers.length)) - 1n);
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  test('asks nothing of evidence for a rule that does not exist', () => {
    expect(bits.hasRule('evidence', 'dns', ({ id }) => id === 'no such rule')).toBe('0');
  });
});
