import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  EVIDENCE,
  LAYERS,
  layersOf,
  NO_MATCH,
  needsOf,
  OUTCOME_CLASSES,
  RULES,
  RULES_VERSIONS,
  type Rule,
} from './rules.ts';
import { gradesBefore, signalsOf } from './signals.ts';

/** The rules of the Python pipeline at c8fcc72, in their order: copied from analysis.md section 4, not from the code. */
const PYTHON = {
  dns: [
    ['no_dns_data', 0.0, 0.0, 0.0, 'NONE', 'UNKNOWN'],
    ['country_consistent_blockpage', 1.0, 0.0, 0.0, 'SCORED', 'BLOCKED'],
    ['tls_consistent_answer', 0.0, 0.0, 1.0, 'SCORED', 'OK'],
    ['bogon_not_in_ctrl', 0.95, 0.05, 0.0, 'SCORED', 'BLOCKED'],
    ['bogon_in_ctrl', 0.1, 0.9, 0.0, 'SCORED', 'DOWN'],
    ['tls_inconsistent_not_in_ctrl', 0.9, 0.05, 0.05, 'SCORED', 'BLOCKED'],
    ['answer_matches_ctrl', 0.0, 0.0, 0.9, 'SCORED', 'OK'],
    ['answer_asn_matches_ctrl', 0.2, 0.0, 0.8, 'SCORED', 'OK'],
    ['dns_system_failure_ctrl_also_failing', 0.1, 0.9, 0.0, 'SCORED', 'DOWN'],
    ['dns_system_failure_ctrl_ok', 0.9, 0.1, 0.0, 'SCORED', 'BLOCKED'],
    ['dns_system_failure_no_ctrl', 0.5, 0.5, 0.0, 'SCORED', 'UNKNOWN'],
    ['dns_system_answer_unmatched', 0.75, 0.0, 0.25, 'SCORED', 'BLOCKED'],
  ],
  tcp: [
    ['no_tcp_data', 0.0, 0.0, 0.0, 'NONE', 'UNKNOWN'],
    ['connect_ok', 0.0, 0.0, 1.0, 'SCORED', 'OK'],
    ['ipv6_broken_probe', 0.0, 0.0, 0.0, 'DISCARDED', 'UNKNOWN'],
    ['failure_ctrl_ok', 0.75, 0.25, 0.0, 'SCORED', 'BLOCKED'],
    ['dns_untrusted', 0.0, 0.0, 0.0, 'DISCARDED', 'UNKNOWN'],
    ['failure_ctrl_also_failing', 0.25, 0.75, 0.0, 'SCORED', 'DOWN'],
  ],
  tls: [
    ['no_tls_data', 0.0, 0.0, 0.0, 'NONE', 'UNKNOWN'],
    ['certificate_valid', 0.0, 0.0, 1.0, 'SCORED', 'OK'],
    ['failure_ctrl_ok_ssl', 0.9, 0.1, 0.0, 'SCORED', 'BLOCKED'],
    ['failure_ctrl_ok_reset', 0.8, 0.2, 0.0, 'SCORED', 'BLOCKED'],
    ['failure_ctrl_ok_other', 0.7, 0.3, 0.0, 'SCORED', 'BLOCKED'],
    ['dns_untrusted', 0.0, 0.0, 0.0, 'DISCARDED', 'UNKNOWN'],
    ['tcp_blocked', 0.0, 0.0, 0.0, 'DISCARDED', 'UNKNOWN'],
    ['failure_ctrl_also_failing', 0.2, 0.8, 0.0, 'SCORED', 'DOWN'],
  ],
} as const;

const shown = ({ id, grades, evidence, outcome }: Rule) => [
  id,
  grades.blocked,
  grades.down,
  grades.ok,
  evidence,
  outcome,
];

describe('version 2', () => {
  test('does not judge HTTP', () => {
    expect(layersOf(2)).toEqual(['dns', 'tcp', 'tls']);
    expect(RULES[2].http).toEqual([]);
  });

  test.each(['dns', 'tcp', 'tls'] as const)('has the %s rules of the Python pipeline in their order', layer => {
    expect(RULES[2][layer].map(shown)).toEqual(PYTHON[layer]);
  });

  const CONSTANTS = join(import.meta.dirname, '../../../shared/spec/constants.json');
  test.skipIf(!existsSync(CONSTANTS))('is what the machine-readable specification says', () => {
    const spec = JSON.parse(readFileSync(CONSTANTS, 'utf8'));
    for (const layer of layersOf(2)) {
      const rules: Record<string, unknown>[] = spec.rules[layer];
      const wanted = rules.map(rule => [
        rule.rule_id,
        rule.blocked,
        rule.down,
        rule.ok,
        rule.evidence,
        rule.outcome_class,
      ]);
      expect(RULES[2][layer].map(shown)).toEqual(wanted);
    }
    expect(spec.rules_version).toBe(2);
    expect(EVIDENCE).toEqual(spec.evidence_levels);
    expect(OUTCOME_CLASSES).toEqual(Object.keys(spec.outcome_classes));
    const { rule_id, blocked, down, ok, evidence } = spec.no_match;
    expect([NO_MATCH.id, NO_MATCH.grades, NO_MATCH.evidence]).toEqual([rule_id, { blocked, down, ok }, evidence]);
  });
});

describe.each(RULES_VERSIONS)('version %i', version => {
  test('a rule id stands once in its layer, and grades make 1 at most', () => {
    for (const layer of LAYERS) {
      const rules = RULES[version][layer];
      expect(new Set(rules.map(rule => rule.id)).size).toBe(rules.length);
      for (const { id, grades } of rules) {
        const sum = grades.blocked + grades.down + grades.ok;
        expect([id, sum >= 0 && sum <= 1 + 1e-9]).toEqual([id, true]);
      }
    }
  });

  test('conditions are written over signals and grades of earlier layers, and nothing else', () => {
    const signals = signalsOf(version).map(signal => signal.name);
    for (const layer of LAYERS) {
      const known = new Set([...signals, ...gradesBefore(layer), 'AND', 'OR', 'NOT', 'IS', 'NULL', 'startsWith']);
      for (const { id, when } of RULES[version][layer]) {
        const words = when.replace(/'[^']*'/g, '').match(/[A-Za-z]\w*/g) ?? [];
        expect([id, words.filter(word => !known.has(word))]).toEqual([id, []]);
      }
    }
  });
});

test('a rule of version 3 that judges by something else than version 2 has an id of its own', () => {
  for (const layer of LAYERS) {
    for (const rule of RULES[3][layer]) {
      const before = RULES[2][layer].find(({ id }) => id === rule.id);
      if (before) expect([rule.id, rule.when, shown(rule)]).toEqual([rule.id, before.when, shown(before)]);
      expect([rule.id, /ctrl_tcp_/.test(rule.when)]).toEqual([rule.id, rule.id.startsWith('endpoint_')]);
    }
  }
});

test.each(RULES_VERSIONS)('a rule of version %i needs of the days what its signals need', version => {
  const signals = signalsOf(version);
  for (const layer of layersOf(version)) {
    for (const [index, rule] of RULES[version][layer].entries()) {
      const words = new Set(rule.when.match(/\w+/g));
      const needs = new Set(signals.filter(({ name }) => words.has(name)).flatMap(({ needs: need }) => need ?? []));
      // The first rule of these layers decides all rows without data of the layer.
      if (index > 0 && layer === 'tls') needs.add('hasHandshakes');
      if (index > 0 && layer === 'http') needs.add('hasRequests');
      expect([rule.id, ...needs]).toEqual([rule.id, ...needsOf(layer, rule)]);
    }
  }
});
