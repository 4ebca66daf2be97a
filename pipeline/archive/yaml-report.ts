import { createHash } from 'node:crypto';
import { parse } from 'yaml';
import { trivialId } from '../measurement/uid.ts';
import type { RawDocument } from './document.ts';
import { tooLong } from './lines.ts';
import { normaliseEntry, normaliseHeader } from './yaml-entry.ts';
import { type Entry, isEntry, UnsupportedReportError } from './yaml-shape.ts';

const START = Buffer.from('---\n');
const END = Buffer.from('\n...\n');
const STRAY_END = Buffer.from('...\n');
const COMMENT = '#'.charCodeAt(0);
const NOTHING = Buffer.alloc(0);
/**
 * Maximum number of characters that can begin a value in a document; a document with more is not parsed. The parser uses about 400
 * bytes of memory per value, and a hostile document needs only two bytes per value. Real documents, even those of some MB, which
 * are mostly bodies, have a tenth of this number.
 */
const MOST_VALUES = 500_000;
const BEGINS_VALUE = new Uint8Array(256);
for (const character of '\n,:-[{?') BEGINS_VALUE[character.charCodeAt(0)] = 1;

/**
 * Splits a YAML report of 2012 to 2016 into its documents and converts each to a measurement in the current form (archive.md
 * section 11). The first document is the header, which is merged into each of the others. Holds one document of at most `maxBytes`
 * and skips longer ones. Never throws: a broken document becomes an error in its place, and a broken frame ends the report.
 *
 * Of the tests in these reports, http_requests, http_host, dns_consistency, meek_fronted_requests_test, http_header_field_manipulation and
 * http_invalid_request_line have a transformer, which needs a `test_runtime` (`old-reports.test.ts` shows the rows). The other tests give
 * no rows; their entries are converted too, because the audit counts each by its outcome and its uid.
 */
export class YamlReport {
  readonly #maxBytes: number;
  #documents: number;
  #header: { readonly entry: Entry; readonly bytes: Buffer } | undefined;
  #held: Buffer = NOTHING;
  /** Bytes of the current document that were dropped because it is too long. */
  #passed = 0;
  #over = false;

  /** @param documents number of the documents before this report */
  constructor(maxBytes: number, documents = 0) {
    this.#maxBytes = maxBytes;
    this.#documents = documents;
  }

  /** Number of documents returned so far, including those with an error. */
  get documents(): number {
    return this.#documents;
  }

  /** Returns the measurements that end in this chunk. */
  push(chunk: Buffer): RawDocument[] {
    const found: RawDocument[] = [];
    if (this.#over) return found;
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    let searched = Math.max(0, this.#held.length - END.length);
    let at = 0;
    while (!this.#over && at < bytes.length) {
      const inside = this.#passed > 0 || startsWith(bytes, START, at);
      if (inside) {
        const end = bytes.indexOf(END, Math.max(at, searched));
        if (end === -1) break;
        this.#finish(bytes.subarray(at, end + END.length), found);
        at = end + END.length;
      } else if (bytes[at] === COMMENT) {
        const end = bytes.indexOf('\n', at);
        if (end === -1) break;
        at = end + 1;
      } else if (bytes.length - at < START.length) {
        break;
      } else if (startsWith(bytes, STRAY_END, at)) {
        at += STRAY_END.length;
      } else {
        this.#giveUp('a document of the report does not start with "---"', found);
      }
      searched = 0;
    }
    if (!this.#over) this.#hold(bytes.subarray(at));
    return found;
  }

  /** Returns the rest when the report ends: nothing, or an error for a document that was cut off. */
  end(): RawDocument[] {
    const found: RawDocument[] = [];
    const rest = this.#held.toString('latin1').trim();
    if (!this.#over && (this.#passed > 0 || (rest !== '' && !rest.startsWith('#')))) {
      this.#giveUp('the report ends within a document', found);
    }
    return found;
  }

  #hold(rest: Buffer): void {
    if (this.#passed > 0 || rest.length > this.#maxBytes) {
      // Keep enough bytes to find the end of the document when it crosses two chunks.
      const kept = Math.min(rest.length, END.length - 1);
      this.#passed += rest.length - kept;
      this.#held = Buffer.from(rest.subarray(rest.length - kept));
    } else {
      this.#held = rest;
    }
  }

  #finish(document: Buffer, found: RawDocument[]): void {
    const length = this.#passed + document.length;
    const isLong = this.#passed > 0 || length > this.#maxBytes;
    this.#passed = 0;
    if (!this.#header) {
      const header = isLong ? new Error(`it has ${length} bytes`) : parseHeader(document);
      if (header instanceof Error) this.#giveUp(`the header of the report cannot be used: ${header.message}`, found);
      else this.#header = { entry: header, bytes: Buffer.from(document) };
      return;
    }
    if (isLong) {
      found.push(tooLong(++this.#documents, length, this.#maxBytes));
      return;
    }
    const entry = parseDocument(document);
    if (entry === null || entry === undefined) return;
    found.push(toDocument(++this.#documents, entry, document, this.#header));
  }

  #giveUp(message: string, found: RawDocument[]): void {
    this.#over = true;
    this.#held = NOTHING;
    found.push(broken(++this.#documents, message));
  }
}

function startsWith(bytes: Buffer, word: Buffer, at: number): boolean {
  return bytes.subarray(at, at + word.length).equals(word);
}

/** Returns the value of a document: null if it is empty, an Error if it is not YAML. */
function parseDocument(document: Buffer): unknown {
  if (document.length > MOST_VALUES && countValues(document) > MOST_VALUES) {
    return new Error(`it may hold more than ${MOST_VALUES} values`);
  }
  try {
    // Reports were written and read as YAML 1.1, which allowed repeated keys; the last one counts.
    return parse(document.toString('utf8'), { version: '1.1', uniqueKeys: false, logLevel: 'error' }) as unknown;
  } catch (error) {
    // Errors of the parser, or of the engine for endless nesting or aliases: only this document is lost.
    return error instanceof Error ? error : new Error(String(error));
  }
}

function countValues(document: Buffer): number {
  let count = 0;
  for (let at = 0; at < document.length; at++) count += BEGINS_VALUE[document[at]!]!;
  return count;
}

function parseHeader(document: Buffer): Entry | Error {
  const header = parseDocument(document);
  if (header instanceof Error) return header;
  if (!isEntry(header)) return new Error('it is not a YAML mapping');
  try {
    return normaliseHeader(header);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function toDocument(
  line: number,
  entry: unknown,
  bytes: Buffer,
  header: { readonly entry: Entry; readonly bytes: Buffer },
): RawDocument {
  if (entry instanceof Error) return broken(line, `not YAML: ${entry.message.split('\n')[0]}`);
  if (!isEntry(entry)) return broken(line, 'the document is not a YAML mapping');
  // If one entry has its own start time, the start time of the header no longer applies.
  if ('test_start_time' in entry) delete header.entry.test_start_time;
  const digest = createHash('sha1').update(header.bytes).update(bytes).digest('hex');
  try {
    const measurement = normaliseEntry({ ...entry, ...header.entry }, digest);
    return {
      line,
      uid: trivialId(bytes, measurement.measurement_start_time, false), // `bytes` includes the framing
      bytes: Buffer.from(JSON.stringify(measurement)),
    };
  } catch (error) {
    if (error instanceof UnsupportedReportError) {
      return { line, bytes: NOTHING, error: { class: 'UnsupportedYaml', message: error.message, skipped: true } };
    }
    // Old reports have shapes that nobody documented. An entry that does not fit the rules is counted as failed; the others are
    // kept.
    return broken(line, error instanceof Error ? error.message : String(error));
  }
}

function broken(line: number, message: string): RawDocument {
  return { line, bytes: NOTHING, error: { class: 'BrokenYaml', message, skipped: false } };
}
