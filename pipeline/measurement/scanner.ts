import { cleanLength } from './base64.ts';
import { SCANNER } from './scanner-code.ts';

/**
 * A document in the memory of the scanner (scanner.wat), and what is asked of its bytes. Places count from its first byte. The memory is
 * used again for one document after the other: with new memory for each, V8 collected the heap for the sake of what lay outside it.
 */
const module = new WebAssembly.Module(Buffer.from(SCANNER, 'base64'));

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly length: { readonly value: number };
  readonly unescape: (from: number, end: number, out: number) => number;
  readonly findKey: (at: number, end: number) => number;
  readonly mayBeUnsound: (at: number, end: number) => number;
  readonly skipValue: (at: number, depth: number) => number;
}

/** As much of it as is used: its types come with those of a browser only. */
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
/** More than this is given back as soon as a smaller document comes. */
const KEPT_BYTES = 8 << 20;
/** Behind the two tables. */
const DOCUMENT = 512;
/** What may be read or written over behind document and text. */
const MARGIN = 128;
/** What is nested deeper is left to the decoder. */
const DEEPEST = 64;

let code: Exports = instantiate();
let bytes = Buffer.from(code.memory.buffer);
let end = DOCUMENT;

function instantiate(): Exports {
  const exports = new WebAssembly.Instance(module).exports as Exports;
  const tables = Buffer.from(exports.memory.buffer, 0, DOCUMENT).fill(-1, 256);
  for (const [letter, meaning] of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t']) {
    tables[letter!.charCodeAt(0)] = meaning!.charCodeAt(0);
  }
  for (const [digit, character] of [...'0123456789abcdef'].entries()) {
    tables[256 + character.charCodeAt(0)] = digit;
    tables[256 + character.toUpperCase().charCodeAt(0)] = digit;
  }
  return exports;
}

/** Copies a document into the memory and returns it there. It must be UTF-8. What the last call returned is written over. */
export function load(json: Buffer): Buffer {
  const needed = DOCUMENT + 2 * (json.length + MARGIN);
  if (bytes.length > Math.max(KEPT_BYTES, 2 * needed)) {
    // The memory of an instance can grow and not shrink.
    code = instantiate();
    bytes = Buffer.from(code.memory.buffer);
  }
  if (bytes.length < needed) {
    code.memory.grow(Math.ceil((needed - bytes.length) / PAGE_BYTES));
    bytes = Buffer.from(code.memory.buffer);
  }
  end = DOCUMENT + json.length;
  json.copy(bytes, DOCUMENT);
  bytes[end] = 0;
  return bytes.subarray(DOCUMENT, end);
}

// The document may be changed in place, but for what lies behind the place that is asked for.

/** Where, from `at` on, a quote stands in front of `bo` or `x_`; -1 when none does. */
export function findKey(at: number): number {
  return placeOf(code.findKey(DOCUMENT + at, end));
}

/**
 * Reads the text that begins at `start`, behind its opening quote, for `lastText`. Returns where its closing quote is, or -1 when it is no
 * valid text.
 */
export function readText(start: number): number {
  return placeOf(code.unescape(DOCUMENT + start, end, end + MARGIN));
}

/** The text that `readText` has read, as UTF-8; the next call writes over it. */
export function lastText(): Buffer {
  return behindDocument(code.length.value);
}

/** The bytes of clean base64 between two places, which the next call writes over; undefined when it is none. */
export function readBase64(start: number, stop: number): Buffer | undefined {
  const base64 = bytes.toString('latin1', DOCUMENT + start, DOCUMENT + stop);
  const clean = cleanLength(base64);
  return clean >= 0 && bytes.write(base64, end + MARGIN, 'base64') === clean ? behindDocument(clean) : undefined;
}

function behindDocument(length: number): Buffer {
  return bytes.subarray(end + MARGIN, end + MARGIN + length);
}

/** The end of the value at `at`; -1 when it is none, or one that only a decoder can judge. */
export function skipValue(at: number): number {
  return placeOf(code.skipValue(DOCUMENT + at, DEEPEST));
}

/**
 * Whether the first `length` bytes may hold what JSON.parse accepts and upstream's decoder does not: the escape of a surrogate, or a number
 * with an exponent of three digits or more.
 */
export function mayBeUnsound(length: number): boolean {
  return code.mayBeUnsound(DOCUMENT, DOCUMENT + length) !== 0;
}

function placeOf(address: number): number {
  return address < 0 ? -1 : address - DOCUMENT;
}
