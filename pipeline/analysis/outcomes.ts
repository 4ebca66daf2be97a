import { NETTEST_GROUPS } from './nettest-groups.ts';
import { quoted } from './quoted.ts';
import type { Layer } from './rules.ts';

/** From the worst to the best; a measurement has the worst word of its hosts, but `ok` goes before an `unknown` without failure. */
export const OUTCOMES = {
  blocked: 'blocked',
  partly: 'partly_blocked',
  down: 'down',
  refused: 'refused',
  ok: 'ok',
  unknown: 'unknown',
} as const;

/** Meaning of each word, for docs/verdicts.md; examples are of the fixtures. */
export const WORDS: readonly { readonly word: string; readonly meaning: string; readonly example: string }[] = [
  {
    word: OUTCOMES.blocked,
    meaning:
      'a layer has a *blocked* grade above one half, at least as great as every *down* grade, and the host was not reached',
    example:
      '`012023112707aa0b1c2df521299bc19df0c94b14`: the handshake for https://www.example.com/ was reset, and the control had no difficulty with the same address',
  },
  {
    word: OUTCOMES.partly,
    meaning:
      'as *blocked*, but the site was reached with a valid certificate, or its page loaded, over another of its addresses; with DNS blocked, over another answer of the same resolver',
    example:
      '`0120231127521d255b37d65a61c44dba4be3da96`: one address of www.example.org refused the connect that the control made; over another a handshake ended with a valid certificate',
  },
  {
    word: OUTCOMES.down,
    meaning: 'a layer has a *down* grade above one half, and nothing loaded: the control failed as well',
    example:
      '`0120231127085ac5e7213b80031c717cbcd82c68`: the certificate of untrusted-root.badssl.com is not valid for the control either',
  },
  {
    word: OUTCOMES.refused,
    meaning:
      'the site was reached over TLS and itself refused the page: it is not available in the country (451, geo-blocking), or it refuses the probe (403). This is not blocking by the network. Version 3 of the rules only',
    example: 'a site that answers 451 to probes and control',
  },
  {
    word: OUTCOMES.ok,
    meaning:
      'a page or a valid certificate arrived, or the result matched the control; and no failure remains that no rule could judge',
    example:
      '`0120210817009d6089489819d3a02a19cb81ea6b`: mail.yandex.ru answered like the control, with a valid certificate',
  },
  {
    word: OUTCOMES.unknown,
    meaning:
      'nothing could be judged: the control is missing, IP metadata is missing, a messenger’s test shows nothing of the probe’s network, something failed that no rule judges, or the page is neither that of the control nor clearly another (an error of the server, the question of a content network for proofs), or only a page of another site arrived, to which the network may have redirected. This shows neither that it worked nor that it was blocked',
    example:
      '`01202108171d63ddbf01d8aeac5a7fa3d2108ec7`: www.jsf.mil answered like the control, and the request behind its redirect failed',
  },
];

/** Tests that try one URL over several addresses: one that works is enough for the page to load. */
export const WEBSITE_TESTS = quoted(NETTEST_GROUPS.websites as readonly string[]);

/** SQL names of the grades of one host or measurement, and of what the outcome is made of besides. */
export interface OutcomeInputs {
  /** Expression of a grade, such as `dns_blocked`. */
  readonly grade: (layer: Layer, grade: 'blocked' | 'down' | 'ok') => string;
  /** The layers with grades. */
  readonly layers: readonly Layer[];
  readonly testName: string;
  /** A page or a handshake with a valid certificate arrived from this host. */
  readonly isLoaded: string;
  /** The same, but the handshake only. */
  readonly isProven: string;
  /** A page arrived that the network did not change: over TLS, or equal to that of the control. */
  readonly isPageOk: string;
  /** The site itself refused the page. */
  readonly isRefused: string;
  /**
   * A response arrived that is not clearly that of the site, or none arrived and no rule could judge it; and no other page. Or nothing
   * loaded, and the probe itself found blocking, or only the probe could look the host up.
   */
  readonly isUnclear: string;
  /** Compared with the control, and it matched. */
  readonly isMatched: string;
  /** A lookup failed, the host got no answer, and no rule could judge it. */
  readonly isUnresolved: string;
  /** Something else failed that no rule could judge. */
  readonly hasUnjudgedFailure: string;
  /** IPv6 connects failed on a probe without IPv6, and nothing connected. */
  readonly isOnlyBrokenV6: string;
}

type Graded = Pick<OutcomeInputs, 'grade' | 'layers'>;

function greatest({ grade, layers }: Graded, name: 'blocked' | 'down'): string {
  return `greatest(${layers.map(layer => grade(layer, name)).join(', ')})`;
}

/** The layer with the greatest *blocked* or *down* grade, the first of equal ones. */
export function layerOf(graded: Graded, name: 'blocked' | 'down'): string {
  return `[${quoted(graded.layers)}][${indexOfGreatest(graded, name)}]`;
}

function indexOfGreatest(graded: Graded, name: 'blocked' | 'down'): string {
  return `indexOf([${graded.layers.map(layer => graded.grade(layer, name)).join(', ')}], ${greatest(graded, name)})`;
}

/**
 * The outcome in a word. `blocked` and `down` by grades above one half; `partly_blocked` when the host was reached all the same, over an address
 * that the blocked layer does not concern: with DNS blocked, over another answer of the system resolver, because a page over the addresses
 * of another resolver is not what a user gets; with HTTP blocked, when the page itself arrived. `ok` only for what loaded, or was compared and
 * matched, with no failure left unjudged.
 */
export function outcomeSql(inputs: OutcomeInputs): string {
  const {
    grade,
    layers,
    testName,
    isLoaded,
    isProven,
    isPageOk,
    isMatched,
    isUnresolved,
    hasUnjudgedFailure,
    isOnlyBrokenV6,
  } = inputs;
  const blocked = greatest(inputs, 'blocked');
  const down = greatest(inputs, 'down');
  const judgesHttp = layers.includes('http');
  const ofHttp = (condition: string, sql: string) => (judgesHttp ? `${condition}, ${sql}, ` : '');
  const reachedBy: Readonly<Record<Layer, string>> = {
    dns: `${grade('dns', 'ok')} > 0.5 AND (${isLoaded})`,
    tcp: isLoaded,
    tls: isProven,
    http: isPageOk,
  };
  const reached = `[${layers.map(layer => reachedBy[layer]).join(', ')}][${indexOfGreatest(inputs, 'blocked')}]`;
  const works = `multiIf(${grade('tls', 'down')} > 0.5, ${isProven}, ${ofHttp(judgesHttp ? `${grade('http', 'down')} > 0.5` : '', isPageOk)}${isLoaded})`;
  return `multiIf(
    ${blocked} > 0.5 AND ${blocked} >= ${down}, if(${reached}, '${OUTCOMES.partly}', '${OUTCOMES.blocked}'),
    ${down} > 0.5 AND NOT (${works}), '${OUTCOMES.down}',
    ${ofHttp(inputs.isRefused, `'${OUTCOMES.refused}'`)}${isUnresolved}${judgesHttp ? ` OR ${inputs.isUnclear}` : ''}, '${OUTCOMES.unknown}',
    (${isLoaded}) AND (NOT (${hasUnjudgedFailure}) OR ${testName} IN (${WEBSITE_TESTS})), '${OUTCOMES.ok}',
    (${hasUnjudgedFailure}) OR (${isOnlyBrokenV6}), '${OUTCOMES.unknown}',
    ${isMatched}, '${OUTCOMES.ok}',
    '${OUTCOMES.unknown}')`;
}
