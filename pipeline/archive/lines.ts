import type { RawDocument } from './documents.ts';

const LF = 0x0a;

/**
 * Cuts a stream of bytes into lines at LF. What it holds is at most the line under way, and that at most `maxBytes`: the rest of
 * a longer line is read past. Blank lines yield nothing, but count.
 */
export class LineCutter {
  readonly #maxBytes: number;
  #line: number;
  /** Pieces of the line under way; none are kept of a line that is too long. */
  #pieces: Buffer[] = [];
  #length = 0;

  /** `line` is the number of lines already behind. */
  constructor(maxBytes: number, line = 0) {
    this.#maxBytes = maxBytes;
    this.#line = line;
  }

  /** Lines seen so far. */
  get line(): number {
    return this.#line;
  }

  /** The lines that end in this chunk. */
  push(chunk: Buffer): RawDocument[] {
    const documents: RawDocument[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
      this.#take(chunk, start, end);
      this.#finish(documents, false);
      start = end + 1;
    }
    if (start < chunk.length) this.#take(chunk, start, chunk.length);
    return documents;
  }

  /** The last line, where the stream ended without a newline. */
  end(): RawDocument[] {
    const documents: RawDocument[] = [];
    if (this.#length > 0) this.#finish(documents, true);
    return documents;
  }

  #take(chunk: Buffer, start: number, end: number): void {
    this.#length += end - start;
    if (this.#length > this.#maxBytes) this.#pieces = [];
    else this.#pieces.push(chunk.subarray(start, end));
  }

  #finish(documents: RawDocument[], unterminated: boolean): void {
    const length = this.#length;
    const pieces = this.#pieces;
    this.#line++;
    this.#length = 0;
    this.#pieces = [];
    if (length > this.#maxBytes) {
      documents.push(tooLong(this.#line, length, this.#maxBytes));
      return;
    }
    const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length);
    if (isBlank(bytes)) return;
    documents.push(unterminated ? { line: this.#line, bytes, unterminated } : { line: this.#line, bytes });
  }
}

/** The lines of a stream, chunk by chunk. */
export async function* cutLines(bytes: AsyncIterable<Buffer>, lines: LineCutter): AsyncGenerator<RawDocument[]> {
  for await (const chunk of bytes) yield lines.push(chunk);
  yield lines.end();
}

/** A document over the limit, of which nothing was kept. */
export function tooLong(line: number, length: number, maxBytes: number, uid?: string): RawDocument {
  const message = `the measurement has ${length} bytes, more than max_measurement_bytes (${maxBytes})`;
  return { line, uid, bytes: Buffer.alloc(0), error: { class: 'DocumentTooLong', message, skipped: false } };
}

/** Nothing but the white space of JSON. */
function isBlank(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return false;
  return true;
}
