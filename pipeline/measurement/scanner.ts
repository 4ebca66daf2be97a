import { cleanLength } from './base64.ts';
import { SCANNER } from './scanner-code.ts';

/**
 * A document in the memory of the scanner (scanner.wat), and functions that read its bytes. Positions count from its first byte.
 * All documents reuse the same memory: with new memory for each, V8 collected its heap because of memory outside of it.
 */
const module = new WebAssembly.Module(Buffer.from(SCANNER, 'base64'));

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly length: { readonly value: number };
  readonly unescape: (from: number, end: number, out: number) => number;
  readonly findKey: (at: number, end: number) => number;
  readonly mayBeUnsound: (at: number, end: number) => number;
  readonly skipValue: (at: number, depth: number) => number;
  readonly records: { readonly value: number };
  readonly findLiterals: (
    at: number,
    end: number,
    longBits: number,
    longShift: number,
    bits: number,
    shift: number,
    slots: number,
    tags: number,
    mask: number,
    out: number,
    lists: number,
  ) => number;
}

/** The used part of the API. TypeScript has its types only together with those of a browser. */
declare namespace WebAssembly {
  class Module {
    constructor(code: Uint8Array);
  }
  class Instance {
    readonly exports: unknown;
    constructor(module: Module);
  }
}

const PAGE_BYTES = 64 * 1024;
/** Larger memory is released as soon as a smaller document is loaded. */
const KEPT_BYTES = 8 << 20;
/** End of the two tables for texts and start of the tables of patterns. */
const TABLES = 512;
/** Bytes after the document and the text that may be read or overwritten. */
const MARGIN = 128;
/** Deeper values are left to the decoder. */
const MAX_DEPTH = 64;

/** Tables of patterns that are in the memory. */
let grams: Buffer = Buffer.alloc(0);
/** Start of the document, after all tables. */
let start = TABLES;
let code: Exports = instantiate();
let bytes = Buffer.from(code.memory.buffer);
let end = start;

function instantiate(): Exports {
  const exports = new WebAssembly.Instance(module).exports as Exports;
  const missing = TABLES + grams.length - exports.memory.buffer.byteLength;
  if (missing > 0) exports.memory.grow(Math.ceil(missing / PAGE_BYTES));
  grams.copy(Buffer.from(exports.memory.buffer), TABLES);
  const tables = Buffer.from(exports.memory.buffer, 0, TABLES).fill(-1, 256);
  for (const [letter, meaning] of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t']) {
    tables[letter!.charCodeAt(0)] = meaning!.charCodeAt(0);
  }
  for (const [digit, character] of [...'0123456789abcdef'].entries()) {
    tables[256 + character.charCodeAt(0)] = digit;
    tables[256 + character.toUpperCase().charCodeAt(0)] = digit;
  }
  return exports;
}

/** Copies a document, which must be UTF-8, into the memory and returns the copy. Overwrites the result of the last call. */
export function load(json: Buffer): Buffer {
  const needed = start + 2 * (json.length + MARGIN);
  if (bytes.length > Math.max(KEPT_BYTES, 2 * needed)) {
    // The memory of an instance can grow but not shrink.
    code = instantiate();
    bytes = Buffer.from(code.memory.buffer);
  }
  if (bytes.length < needed) {
    code.memory.grow(Math.ceil((needed - bytes.length) / PAGE_BYTES));
    bytes = Buffer.from(code.memory.buffer);
  }
  end = start + json.length;
  json.copy(bytes, start);
  bytes[end] = 0;
  return bytes.subarray(start, end);
}

// The document may be changed in place, except after the position that is passed to these functions.

/** Returns the position, at or after `at`, of a quote before `bo` or `x_`; -1 if there is none. */
export function findKey(at: number): number {
  return placeOf(code.findKey(start + at, end));
}

/**
 * Reads the string that begins at `from`, after its opening quote, for `lastText`. Returns the position of its closing quote, or
 * -1 if it is not a valid string.
 */
export function readText(from: number): number {
  return placeOf(code.unescape(start + from, end, end + MARGIN));
}

/** Returns the string that `readText` read, as UTF-8. The next call overwrites it. */
export function lastText(): Buffer {
  return afterDocument(code.length.value);
}

/** Decodes the base64 between two positions. The next call overwrites the result. Returns undefined if the base64 is not clean. */
export function readBase64(from: number, stop: number): Buffer | undefined {
  const base64 = bytes.toString('latin1', start + from, start + stop);
  const clean = cleanLength(base64);
  return clean >= 0 && bytes.write(base64, end + MARGIN, 'base64') === clean ? afterDocument(clean) : undefined;
}

function afterDocument(length: number): Buffer {
  return bytes.subarray(end + MARGIN, end + MARGIN + length);
}

/** Returns the end of the value at `at`, or -1 if it is not a value or only a decoder can check it. */
export function skipValue(at: number): number {
  return placeOf(code.skipValue(start + at, MAX_DEPTH));
}

/**
 * Reports whether the first `length` bytes may contain something that JSON.parse accepts and upstream's decoder rejects: the escape
 * of a surrogate, or a number with an exponent of three digits or more.
 */
export function mayBeUnsound(length: number): boolean {
  return code.mayBeUnsound(start, start + length) !== 0;
}

function placeOf(address: number): number {
  return address < 0 ? -1 : address - start;
}

/** Tables of literals (scanner.wat). Positions count from the first byte of the tables of patterns. */
export interface LiteralTables {
  readonly longBits: number;
  readonly longShift: number;
  readonly bits: number;
  readonly shift: number;
  readonly slots: number;
  readonly tags: number;
  readonly mask: number;
}

/** Bytes of a slot: the gram, a distance, and the four bytes at that distance from the gram. */
export const SLOT_BYTES = 16;
/** Distance of a slot without such bytes. */
export const NO_DISTANCE = 0x7fffffff;
/** The largest distance, before and after a gram. */
export const FARTHEST = 100;
/** Number of records in a call of `findLiterals`, at most. They are between tables and document, and so are its lists. */
const ROOM = 2560;
const RECORDS_BYTES = ROOM * 8;
const LISTS_BYTES = 2056 + (ROOM + 1) * 8;

/** Puts the tables of patterns into the memory, unless they are there. Otherwise the document and all results of this module are lost. */
export function useTables(tables: Buffer): void {
  if (tables === grams) return;
  grams = tables;
  start = TABLES + Math.ceil(tables.length / 16) * 16 + RECORDS_BYTES + LISTS_BYTES;
  code = instantiate();
  bytes = Buffer.from(code.memory.buffer);
  end = start;
}

/** Reports whether the tables of patterns, and the text, are in the memory. */
export function isLoaded(tables: Buffer, text: Buffer): boolean {
  return tables === grams && text.buffer === bytes.buffer;
}

/**
 * Calls back for each place of a text where a literal may be, with the slot of the gram there. The text must be the result of
 * `load`, `lastText` or `readBase64` after `useTables`.
 */
export function findLiterals(text: Buffer, tables: LiteralTables, onPlace: (at: number, slot: number) => void): void {
  const from = text.byteOffset - bytes.byteOffset;
  const until = from + text.length;
  const out = start - RECORDS_BYTES - LISTS_BYTES;
  const records = new Int32Array(bytes.buffer, out, 2 * ROOM);
  const { longBits, longShift, bits, shift, slots, tags, mask } = tables;
  for (let at = from; at < until; ) {
    at = code.findLiterals(
      at,
      until,
      TABLES + longBits,
      longShift,
      TABLES + bits,
      shift,
      TABLES + slots,
      TABLES + tags,
      mask,
      out,
      out + RECORDS_BYTES,
    );
    const count = 2 * code.records.value;
    for (let i = 0; i < count; i += 2) onPlace(records[i]! - from, records[i + 1]!);
  }
}
