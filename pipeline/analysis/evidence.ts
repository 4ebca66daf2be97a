import { asIs, pick } from './judgement.ts';
import { EVIDENCE, type Grades, type Layer, layersOf, NO_MATCH, RULES, type Rule, type RulesVersion } from './rules.ts';

/** Facts about an observation that a verdict needs besides the rule of each layer. */
export const FACTS = [
  /** A handshake ended with a valid certificate, and no request failed after it. */
  'proven',
  /** The same, or a page arrived. */
  'loaded',
  /** The system resolver answered for this host. */
  'answered',
  /** A lookup failed, and no rule could judge it. */
  'unjudged_lookup',
  /** Something else failed that no rule could judge. */
  'unjudged_failure',
  /** A connect succeeded that the control made as well. */
  'connected_as_control',
  /** The page of a request of http_requests equals that of the control. */
  'page_as_control',
  /** A request failed, and no rule of HTTP holds. */
  'unmatched_request',
  /** The probe itself found blocking. */
  'probe_found_blocking',
  /** The row is of an endpoint of a messenger. */
  'endpoint',
  /** The endpoint belongs to the service that clients need. */
  'service',
  /** The address may be on the Internet. */
  'public_address',
  /** The same, and its network is known. */
  'public_network',
] as const;
export type Fact = (typeof FACTS)[number];

type Grade = keyof Grades;

/**
 * Evidence: a set of bits, one for each rule that decided and one for each fact. The evidence of a host or of a measurement is the union (OR) of that of
 * its observations. It is one number, so that ClickHouse groups observations with one aggregate instead of one for each grade, rank and fact.
 */
export interface EvidenceBits {
  /** Returns the SQL of the evidence of an observation. `facts` are conditions without nulls; absent facts never hold. */
  ofRow(facts: Partial<Readonly<Record<Fact, string>>>): string;
  /** Returns the SQL of whether one of some facts holds. */
  has(evidence: string, ...facts: readonly Fact[]): string;
  /** Returns the SQL of whether one of the rules of a layer that meet a condition decided; `0` when no rule meets it. */
  hasRule(evidence: string, layer: Layer, meets: (rule: Rule) => boolean): string;
  /** Returns the SQL of the greatest grade of a layer. */
  grade(evidence: string, layer: Layer, grade: Grade): string;
  /**
   * Returns the SQL of the id of the rule that stands for a layer: that of the observation with the greatest (evidence, blocked, rule id), compared in this order
   * (analysis.md section 6).
   */
  ruleId(evidence: string, layer: Layer): string;
}

/** The bits of the rules of a layer: the lowest one, and the rules from the least to the greatest. */
interface Place {
  readonly offset: number;
  readonly rules: readonly Rule[];
}

/** Assigns the bits for a version of the rules. */
export function evidenceBits(version: RulesVersion): EvidenceBits {
  const layers = layersOf(version);
  const places = new Map<Layer, Place>();
  let firstFact = 0;
  for (const layer of layers) {
    const rules = inOrderOfRank(layer, version);
    places.set(layer, { offset: firstFact, rules });
    firstFact += rules.length;
  }
  const literal = (mask: bigint) => (mask < 1n << 64n ? String(mask) : `toUInt128('${mask}')`);
  const placeOf = (layer: Layer) => places.get(layer) ?? { offset: 0, rules: [] };
  const bitOf = (layer: Layer, rule: Rule) => {
    const { offset, rules } = placeOf(layer);
    return 1n << BigInt(offset + rules.indexOf(rule));
  };
  const maskOf = (layer: Layer, meets: (rule: Rule) => boolean) =>
    placeOf(layer)
      .rules.filter(meets)
      .reduce((mask, rule) => mask | bitOf(layer, rule), 0n);
  const overlaps = (evidence: string, mask: bigint) =>
    mask === 0n ? '0' : `bitAnd(${evidence}, ${literal(mask)}) != 0`;
  const factMask = (fact: Fact) => 1n << BigInt(firstFact + FACTS.indexOf(fact));
  return {
    ofRow(facts) {
      const rules = layers.map(layer => pick(layer, version, rule => literal(bitOf(layer, rule))));
      const others = FACTS.flatMap(fact =>
        facts[fact] ? [`(${asIs(facts[fact])}) * ${literal(factMask(fact))}`] : [],
      );
      // Each bit comes once, so the sum is the union.
      return [...rules, ...others].join(' + ');
    },
    has: (evidence, ...facts) =>
      overlaps(
        evidence,
        facts.reduce((mask, fact) => mask | factMask(fact), 0n),
      ),
    hasRule: (evidence, layer, meets) => overlaps(evidence, maskOf(layer, meets)),
    grade(evidence, layer, grade) {
      const values = descending(placeOf(layer).rules.map(rule => rule.grades[grade]));
      const branches = values.flatMap(value => [
        overlaps(
          evidence,
          maskOf(layer, rule => rule.grades[grade] === value),
        ),
        value,
      ]);
      return values.length === 0 ? '0' : `multiIf(${branches.join(', ')}, 0)`;
    },
    ruleId(evidence, layer) {
      const { offset, rules } = placeOf(layer);
      const own = `bitAnd(bitShiftRight(${evidence}, ${offset}), ${literal((1n << BigInt(rules.length)) - 1n)})`;
      return `[${rules.map(({ id }) => `'${id}'`).join(', ')}][bitPositionsToArray(toUInt32(${own}))[-1] + 1]`;
    },
  };
}

function descending(values: readonly number[]): number[] {
  return [...new Set(values)].filter(value => value > 0).sort((a, b) => b - a);
}

/** Returns the rules of a layer from the least to the greatest (evidence, blocked, rule id). */
function inOrderOfRank(layer: Layer, version: RulesVersion): Rule[] {
  return [NO_MATCH, ...RULES[version][layer]].sort(
    (a, b) =>
      EVIDENCE[a.evidence] - EVIDENCE[b.evidence] ||
      a.grades.blocked - b.grades.blocked ||
      // Bytes, as ClickHouse compares texts; ids are ASCII.
      (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  );
}
