import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { analysisFidelity } from '../fidelity/analysis.ts';
import { compareRules } from '../fidelity/compare-rules.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures');

test('verdicts equal those of the Python pipeline, and scenarios get their intended verdicts', {
  timeout: 600_000,
}, async () => {
  const report = await analysisFidelity(FIXTURES, inject('clickhouseUrl'));
  expect(report.differences.filter(({ reason }) => reason === undefined)).toEqual([]);
  expect(report.compared).toBeGreaterThan(300);
  expect(report.equal).toBeGreaterThan(0.9 * report.compared);
  // 30 scenarios with two versions.
  expect(report.scenarios.judged).toBe(60);
  expect(report.scenarios.misjudged.filter(({ known, version }) => known === undefined || version === 3)).toEqual([]);
});

test('version 3 removes blame that version 2 assigns without a control, and assigns no blame without a reason', {
  timeout: 600_000,
}, async () => {
  const { measurements, blocked, rules } = await compareRules(FIXTURES, inject('clickhouseUrl'));
  expect(measurements).toBeGreaterThan(300);
  expect(blocked.only2[0]).toBeGreaterThan(0);
  expect(blocked.only3[0]).toBe(0);
  // Only the remedies change the rule for DNS. If a probe names its engine, only the missing control does.
  for (const { layer, test: name, from, to } of rules) {
    if (layer !== 'dns' || /ooniprobe [12]\./.test(name)) continue;
    // Messengers have their own rules.
    if (to.startsWith('service_')) {
      expect(name).toMatch(/^(signal|telegram|whatsapp|facebook_messenger) /);
      continue;
    }
    expect([name, from, to]).toEqual([name, 'dns_system_answer_unmatched', expect.not.stringMatching(/unmatched/)]);
  }
});
