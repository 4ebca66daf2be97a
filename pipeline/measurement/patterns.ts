import { isAt, literalsOf, parseRegexp, type Regexp, searchRegexp } from './regexps.ts';
import {
  FARTHEST,
  findLiterals,
  isLoaded,
  type LiteralTables,
  load,
  NO_DISTANCE,
  SLOT_BYTES,
  useTables,
} from './scanner.ts';

/** A pattern for bodies or for the values of one header. */
export interface Pattern {
  /** `body`, or `header.` and the name of the header in lower case. */
  readonly place: string;
  readonly kind: 'full' | 'prefix' | 'contains' | 'regexp';
  readonly text: string;
}

interface Compiled {
  readonly index: number;
  readonly place: string;
  readonly kind: Pattern['kind'];
  /** Text that occurs in everything that the pattern matches. */
  readonly literal: Buffer;
  readonly regexp?: Regexp;
}

/** A pattern whose literal has the gram of a slot at `offset`. */
interface Entry {
  readonly pattern: Compiled;
  readonly offset: number;
}

/** Bytes of a gram, and the distance of the positions where such grams are looked up (scanner.wat). Longer ones first. */
const GRAMS = [
  { bytes: 8, step: 16 },
  { bytes: 4, step: 4 },
] as const;
type Gram = (typeof GRAMS)[number];
const SHORT_BYTES = 4;
/** Bytes whose frequency is estimated. */
const PART = 3;
/**
 * Bits of the set for each gram, at least. With 80, fewer lookups find a bit by chance, but the set of 128 KB is not in the first caches of
 * the processor when a body is searched, and the search takes a sixth longer.
 */
const BITS = 16;
/** The same for short grams, which are few and are looked up four times as often. All of them fit into the first cache of a processor. */
const SHORT_BITS = 160;
/** Parts of ordinary pages. A place of a literal that looks like them would be found often. */
const FREQUENT = [
  '<!DOCTYPE html><html lang="en-US" dir="ltr"><head><meta charset="utf-8"/><meta http-equiv="Content-Type" content="text/html;',
  '<meta name="viewport" content="width=device-width, initial-scale=1" /><meta property="og:title" content=" </title><title>',
  '<link rel="stylesheet" type="text/css" href="https://www. href="http:// media="all" /> rel="nofollow" target="_blank"',
  '<script type="text/javascript" src="/ async defer></script>\n<script> window.document.getElementById(\'function(',
  '<div class="container" id="main"><span class="title"><p style="text-align:center;color:#fff;width:100%;height:position:absolute;',
  '<a class=" <a href="/ </a></li><li><ul></ul></div></span></p><h1></h1><h2></h2><br/><br><img src="https://cdn. alt="" />',
  '<td width="100" height="20" align="center" valign="top"><tr><table border="0" cellpadding="0" cellspacing="0"></table></td>',
  'background-color:transparent;font-family:Arial,sans-serif;font-size:14px;font-weight:bold;line-height:margin:0;padding:0;display:none;',
  '-webkit-transform:translate transition:transform opacity:1;border-radius:box-shadow:rgba(0,0,0,.5)}.button:hover{text-decoration:none}',
  '.com/wp-content/themes/ /wp-includes/js/ .jpg" .png" .css?ver= .js" /images/ /index.php?id= &nbsp;&amp; .org/ .net/ .html">',
  ' return this.length;var e=t.prototype;"use strict";if(!0===typeof undefined){null}else for(;;){} application/json "name":"value","url":"',
  ' the and of to in for is on that by this with you page site content contact privacy policy information description comments',
].join('');
const FREQUENT_WEIGHT = 1000;
const HASH_FACTOR = 0x9e3779b97f4a7c15n;
/** The same for the bits of short grams, whose hash has 32 bits. */
const SHORT_HASH_FACTOR = 0x9e3779b1;
const NONE: readonly number[] = [];

/**
 * Searches for all patterns at once, in one pass over the bytes (`findLiterals` in scanner.wat). The pass looks up only every 16th position
 * of long literals, and every 4th of short ones: of each literal, as many neighbouring grams are in a table, so one of them is at such a
 * position wherever the literal is. Each place that is found leads to the few literals that have its gram, and these are compared byte by
 * byte. Literals of up to six bytes are searched one after the other.
 *
 * Results are indexes of patterns, in ascending order. `npm run bench -- observations` shows the costs.
 */
export class PatternMatcher {
  /** Headers that patterns exist for, in lower case, without `header.`. */
  readonly headers: ReadonlySet<string>;
  readonly #tables: Buffer;
  readonly #bodies: Group;
  readonly #values: Group;

  /** Throws TypeError for a regular expression that is not supported (regexps.ts). */
  constructor(patterns: readonly Pattern[]) {
    const compiled = patterns.map(compile);
    this.headers = new Set(
      compiled.filter(({ place }) => place !== 'body').map(({ place }) => place.replace('header.', '')),
    );
    this.#bodies = new Group(
      compiled.filter(({ place }) => place === 'body'),
      0,
    );
    this.#values = new Group(
      compiled.filter(({ place }) => place !== 'body'),
      this.#bodies.bytes.length,
    );
    this.#tables = Buffer.concat([this.#bodies.bytes, this.#values.bytes]);
  }

  /** Prepares the memory of the scanner. Call it before a document is loaded whose bodies will be searched in place. */
  prepare(): void {
    useTables(this.#tables);
  }

  /** Returns the patterns that match a body. May overwrite the memory of the scanner, unless the body is in it and `prepare` was called. */
  inBody(body: Buffer): readonly number[] {
    return this.#search(this.#bodies, 'body', body);
  }

  /** Returns the patterns that match a value of a header; `name` is in lower case. Overwrites the memory of the scanner. */
  inHeader(name: string, value: Buffer): readonly number[] {
    return this.#search(this.#values, `header.${name}`, value);
  }

  #search(group: Group, place: string, text: Buffer): readonly number[] {
    if (text.length === 0) return NONE;
    let loaded = text;
    if (!isLoaded(this.#tables, text)) {
      this.prepare();
      loaded = load(text);
    }
    return group.search(loaded, place);
  }
}

function compile({ place, kind, text }: Pattern, index: number): Compiled {
  if (kind !== 'regexp') return { index, place, kind, literal: Buffer.from(text) };
  const regexp = parseRegexp(text);
  if (typeof regexp === 'string') throw new TypeError(`the regular expression ${text} cannot be used: ${regexp}`);
  return { index, place, kind, literal: rarestOf(literalsOf(regexp)), regexp };
}

/** The patterns of bodies, or those of headers. */
class Group {
  /** Memory of the tables. */
  readonly bytes: Buffer;
  readonly #tables: LiteralTables;
  readonly #bySlot: (readonly Entry[])[] = [];
  /** Patterns with a literal that is too short for grams. */
  readonly #short: Compiled[] = [];

  /** @param position first byte of the group's memory among all tables */
  constructor(patterns: readonly Compiled[], position: number) {
    const frequencyOf = countFrequencies(patterns);
    const byGram = new Map<bigint, Entry[]>();
    for (const pattern of patterns) {
      const { literal } = pattern;
      const gram = gramOf(literal);
      if (gram) {
        const { offset: first } = rarestWindow(literal, gram, frequencyOf);
        for (let offset = first; offset < first + gram.step; offset++) {
          const key = keyOf(literal, offset, gram);
          const entries = byGram.get(key);
          if (entries) entries.push({ pattern, offset });
          else byGram.set(key, [{ pattern, offset }]);
        }
      } else this.#short.push(pattern);
    }
    const keys = [...byGram.keys()];
    const places = [...byGram.values()].map(entries => distinctBytes(entries, frequencyOf));
    const isShort = (key: bigint) => key <= 0xffffffffn;
    const shortBits = powerOfTwo(Math.max(16, SHORT_BITS * keys.filter(isShort).length));
    const longBits = powerOfTwo(Math.max(16, BITS * keys.length));
    const slots = powerOfTwo(2 * places.flat().length);
    this.bytes = Buffer.alloc((longBits + shortBits) / 8 + slots * (SLOT_BYTES + 1));
    this.#tables = {
      longBits: position,
      longShift: 64 - Math.log2(longBits),
      bits: position + longBits / 8,
      shift: 32 - Math.log2(shortBits),
      slots: position + (longBits + shortBits) / 8,
      tags: position + (longBits + shortBits) / 8 + slots * SLOT_BYTES,
      mask: slots - 1,
    };
    for (const [index, [key, entries]] of [...byGram].entries()) {
      const hash = BigInt.asUintN(64, key * HASH_FACTOR);
      // A gram of 8 bytes that ends with zeros does not occur: no literal with grams has a zero.
      if (isShort(key)) this.#setBit(longBits / 8, Math.imul(Number(key), SHORT_HASH_FACTOR) >>> this.#tables.shift);
      else this.#setBit(0, Number(hash >> BigInt(this.#tables.longShift)));
      for (const bytesAt of places[index]!) this.#put(key, hash, entries, (longBits + shortBits) / 8, bytesAt);
    }
  }

  #setBit(from: number, bit: number): void {
    this.bytes[from + (bit >>> 3)]! |= 1 << (bit & 7);
  }

  #put(key: bigint, hash: bigint, entries: readonly Entry[], slots: number, bytesAt: BytesAt | undefined): void {
    let slot = Number((hash >> 24n) & BigInt(this.#tables.mask));
    while (this.#bySlot[slot]) slot = (slot + 1) & this.#tables.mask;
    this.#bySlot[slot] = entries;
    const place = slots + slot * SLOT_BYTES;
    this.bytes.writeBigUInt64LE(key, place);
    this.bytes[slots + (this.#tables.mask + 1) * SLOT_BYTES + slot] = Number((hash >> 48n) & 0xffn) | 1;
    this.bytes.writeInt32LE(bytesAt?.distance ?? NO_DISTANCE, place + 8);
    if (bytesAt) this.bytes.writeUInt32LE(bytesAt.value, place + 12);
  }

  search(text: Buffer, place: string): readonly number[] {
    const found = new Set<number>();
    const failed = new Set<number>();
    const test = (pattern: Compiled, at: number) => {
      if (pattern.place !== place || !isAt(text, pattern.literal, at)) return;
      if (found.has(pattern.index) || failed.has(pattern.index)) return;
      if (matches(pattern, text, at)) found.add(pattern.index);
      // A regular expression is tried once: it searches the whole text.
      else if (pattern.regexp) failed.add(pattern.index);
    };
    findLiterals(text, this.#tables, (at, slot) => {
      const entries = this.#bySlot[slot]!;
      for (let i = 0; i < entries.length; i++) test(entries[i]!.pattern, at - entries[i]!.offset);
    });
    for (const pattern of this.#short) {
      const at = text.indexOf(pattern.literal);
      if (at >= 0) test(pattern, at);
    }
    return found.size > 0 ? [...found].sort((a, b) => a - b) : NONE;
  }
}

function powerOfTwo(least: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, least)));
}

/** Reports whether a pattern matches a text that has its literal at `at`. */
function matches({ kind, literal, regexp }: Compiled, text: Buffer, at: number): boolean {
  if (regexp) return searchRegexp(regexp, text);
  return kind === 'contains' || (at === 0 && (kind === 'prefix' || text.length === literal.length));
}

/** Returns the longest gram of which a literal has enough. Zeros mark the end of short grams and empty slots. */
function gramOf(literal: Buffer): Gram | undefined {
  return literal.includes(0) ? undefined : GRAMS.find(({ bytes, step }) => literal.length >= bytes + step - 1);
}

function keyOf(literal: Buffer, offset: number, { bytes }: Gram): bigint {
  return bytes === 8 ? literal.readBigUInt64LE(offset) : BigInt(literal.readUInt32LE(offset));
}

/** Estimates how frequent three bytes of a literal are, those at `at`. */
type FrequencyOf = (literal: Buffer, at: number) => number;

/** Returns a function that counts the literals' three bytes at a position: those that many patterns have are frequent in HTML as well. */
function countFrequencies(patterns: readonly Pick<Compiled, 'literal'>[]): FrequencyOf {
  const counts = new Map<number, number>();
  const count = (text: Buffer, weight: number) => {
    for (let at = 0; at + PART <= text.length; at++) {
      const key = text.readUIntLE(at, PART);
      counts.set(key, (counts.get(key) ?? 0) + weight);
    }
  };
  for (const { literal } of patterns) count(literal, 1);
  count(Buffer.from(FREQUENT), FREQUENT_WEIGHT);
  return (literal, at) => counts.get(literal.readUIntLE(at, PART)) ?? 0;
}

/** Frequency in ordinary pages alone. */
const IN_PAGES = countFrequencies([]);

/**
 * Returns the literal of an expression that fewest pages have: of those with enough grams the one with the rarest window, otherwise the
 * longest. In the list of OONI, the longest literal of one expression is `<span style=`: it took a fifth of the time of all patterns.
 */
function rarestOf(literals: readonly Buffer[]): Buffer {
  const sums = literals.map(literal => {
    const gram = gramOf(literal);
    return { literal, sum: gram ? rarestWindow(literal, gram, IN_PAGES).sum : Number.POSITIVE_INFINITY };
  });
  sums.sort((a, b) => a.sum - b.sum || b.literal.length - a.literal.length);
  return sums[0]!.literal;
}

/** Returns the offset of the window of all grams whose parts are the least frequent, and the sum of their frequencies. */
function rarestWindow(literal: Buffer, gram: Gram, frequencyOf: FrequencyOf): { offset: number; sum: number } {
  const bytes = gram.bytes + gram.step - 1;
  const frequencies = Array.from({ length: literal.length - PART + 1 }, (_, at) => frequencyOf(literal, at));
  let best = { offset: 0, sum: Number.POSITIVE_INFINITY };
  for (let offset = 0; offset + bytes <= literal.length; offset++) {
    const sum = frequencies.slice(offset, offset + bytes - PART + 1).reduce((a, b) => a + b);
    if (sum < best.sum) best = { offset, sum };
  }
  return best;
}

/** Four bytes at a distance from a gram. */
interface BytesAt {
  readonly distance: number;
  readonly value: number;
}

/**
 * Returns bytes near a gram, with their distance from it. Where a text contains one of the literals, at least one of the results matches.
 * It is one result if all literals share bytes outside of the gram, otherwise one for each literal. Undefined stands for a literal without
 * bytes outside of the gram. A gram alone is found in many texts without the literal: `lock` of `Webpage Blocked`, with a shared `B` before
 * it, was found 11,000 times in 128 MB of pages.
 */
function distinctBytes(entries: readonly Entry[], frequencyOf: FrequencyOf): readonly (BytesAt | undefined)[] {
  const shared = rarestBytes(entries, frequencyOf);
  if (shared && Math.abs(shared.distance) >= SHORT_BYTES) return [shared];
  const found = new Map<string, BytesAt | undefined>();
  for (const entry of entries) {
    const bytesAt = rarestBytes([entry], frequencyOf);
    found.set(`${bytesAt?.distance} ${bytesAt?.value}`, bytesAt);
  }
  return [...found.values()];
}

/**
 * Returns the least frequent four bytes that the literals of a gram have at the same distance from it, or undefined if they have none but
 * the gram.
 */
function rarestBytes(entries: readonly Entry[], frequencyOf: FrequencyOf): BytesAt | undefined {
  const [{ pattern, offset }, ...others] = entries as [Entry, ...Entry[]];
  const { literal } = pattern;
  let best: { distance: number; value: number; frequency: number } | undefined;
  const last = Math.min(literal.length - 4, offset + FARTHEST);
  for (let at = Math.max(0, offset - FARTHEST); at <= last; at++) {
    const distance = at - offset;
    const value = literal.readUInt32LE(at);
    // Bytes that overlap the gram distinguish less.
    const overlap = Math.max(0, 4 - Math.abs(distance));
    const frequency = frequencyOf(literal, at) + frequencyOf(literal, at + 1) + overlap * FREQUENT_WEIGHT;
    if (frequency >= (best?.frequency ?? Number.POSITIVE_INFINITY)) continue;
    const isShared = others.every(other => {
      const place = other.offset + distance;
      return (
        place >= 0 && place + 4 <= other.pattern.literal.length && other.pattern.literal.readUInt32LE(place) === value
      );
    });
    if (isShared) best = { distance, value, frequency };
  }
  return best;
}
