import { hash } from 'node:crypto';
import type { PatternMatcher } from './patterns.ts';
import { titleOf } from './title.ts';

/** Facts about a body without its text. */
export interface BodyDigest {
  /** Bytes of the body; for text, its bytes as UTF-8. */
  readonly length: number;
  readonly sha1: string;
  /** Title of a page of HTML. */
  readonly title: string | null;
  /** Indexes of the patterns that match. */
  readonly patterns: readonly number[];
}

const NONE: readonly number[] = [];
/** Maximum number of remembered bodies, and of remembered values of each header: about 300 bytes each. */
const REMEMBERED = 4096;
/** Longer values of headers are not remembered. */
const LONGEST_REMEMBERED = 200;

/** Makes the digest of a body that is not searched for patterns. */
export function digestOf(body: Buffer): BodyDigest {
  return { length: body.length, sha1: hash('sha1', body), title: titleOf(body), patterns: NONE };
}

/**
 * Searches responses for patterns, and remembers the results: many probes get the same pages and headers. A quarter of the bytes of bodies in an
 * hour of a country repeat an earlier body. A body is recognised by its SHA-1 and length. Two bodies with the same values do not occur by
 * chance; somebody who makes them changes only results of their own measurements.
 */
export class ResponseSearch {
  readonly #matcher: PatternMatcher;
  readonly #bodies = new Map<string, BodyDigest>();
  readonly #values = new Map<string, Map<string, readonly number[]>>();
  /** Lengths of the names of searched headers: most other names need no conversion to lower case. */
  readonly #lengths = new Set<number>();

  constructor(matcher: PatternMatcher) {
    this.#matcher = matcher;
    for (const name of matcher.headers) {
      this.#values.set(name, new Map());
      this.#lengths.add(name.length);
    }
  }

  /** Prepares the memory of the scanner. Call it before a document is loaded whose bodies will be searched in place. */
  prepare(): void {
    this.#matcher.prepare();
  }

  /** Makes the digest of a body. May overwrite the memory of the scanner, unless the body is in it and `prepare` was called. */
  digestOf(body: Buffer): BodyDigest {
    const sha1 = hash('sha1', body);
    const known = this.#bodies.get(sha1);
    if (known?.length === body.length) return known;
    const digest = { length: body.length, sha1, title: titleOf(body), patterns: this.#matcher.inBody(body) };
    if (this.#bodies.size >= REMEMBERED) this.#bodies.clear();
    this.#bodies.set(sha1, digest);
    return digest;
  }

  /** Returns the name of a header in lower case if there are patterns for it. */
  searchedName(name: string): string | undefined {
    if (!this.#lengths.has(name.length)) return undefined;
    const lower = name.toLowerCase();
    return this.#values.has(lower) ? lower : undefined;
  }

  /** Returns the patterns that match a value of a header that is searched. Overwrites the memory of the scanner. */
  inHeader(name: string, value: string | Buffer): readonly number[] {
    if (typeof value !== 'string') return this.#matcher.inHeader(name, value);
    const values = this.#values.get(name)!;
    const known = values.get(value);
    if (known) return known;
    const found = this.#matcher.inHeader(name, Buffer.from(value));
    if (value.length > LONGEST_REMEMBERED) return found;
    if (values.size >= REMEMBERED) values.clear();
    values.set(value, found);
    return found;
  }
}
