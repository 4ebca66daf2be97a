import type { RawDocument } from './document.ts';

const LF = 0x0a;
const NOTHING = Buffer.alloc(0);

/** Size of the buffer that is reused for held lines. A longer line gets its own buffer. */
const KEPT_BYTES = 4 * 1024 * 1024;

/**
 * Splits a stream of bytes into lines at LF. It holds at most the current line, up to `maxBytes`, and skips the rest of a longer
 * line. Blank lines yield nothing, but count.
 *
 * A line inside a chunk is a view of that chunk. A line that crosses chunks is in a buffer of the cutter. So lines are valid until
 * the next chunk is pushed.
 */
export class LineCutter {
  readonly #maxBytes: number;
  #line: number;
  /** Start of the current line, unless it is too long, and its length so far. */
  #held: Buffer = NOTHING;
  #length = 0;
  /** Buffer of the previous line, which the reader may still use when the next line begins. */
  #spare: Buffer = NOTHING;

  /** @param line number of the lines before this stream */
  constructor(maxBytes: number, line = 0) {
    this.#maxBytes = maxBytes;
    this.#line = line;
  }

  /** Number of lines read so far. */
  get line(): number {
    return this.#line;
  }

  /** Returns the lines that end in this chunk. */
  push(chunk: Buffer): RawDocument[] {
    const documents: RawDocument[] = [];
    let start = 0;
    while (start < chunk.length) {
      if (chunk[start] === LF && this.#length === 0) {
        // No search here: it makes an object of only newlines a hundred times faster to read.
        this.#line++;
        start++;
        continue;
      }
      const end = chunk.indexOf(LF, start);
      if (end === -1) {
        this.#hold(chunk.subarray(start));
        break;
      }
      this.#finish(chunk.subarray(start, end), documents, false);
      start = end + 1;
    }
    return documents;
  }

  /** Returns the last line if the stream ended without a newline. */
  end(): RawDocument[] {
    const documents: RawDocument[] = [];
    if (this.#length > 0) this.#finish(NOTHING, documents, true);
    return documents;
  }

  /** Holds a piece of a line that does not end in this chunk. */
  #hold(piece: Buffer): void {
    const length = this.#length + piece.length;
    if (length > this.#maxBytes) this.#held = NOTHING;
    else this.#append(piece);
    this.#length = length;
  }

  #append(piece: Buffer): void {
    const length = this.#length + piece.length;
    if (this.#held.length < length) {
      // Doubling the buffer copies a long line at most twice.
      const held = Buffer.allocUnsafeSlow(Math.min(this.#maxBytes, 2 * length));
      this.#held.copy(held, 0, 0, this.#length);
      this.#held = held;
    }
    piece.copy(this.#held, this.#length);
  }

  #finish(piece: Buffer, documents: RawDocument[], unterminated: boolean): void {
    const length = this.#length + piece.length;
    this.#line++;
    let bytes: Buffer | undefined;
    if (length <= this.#maxBytes) {
      if (this.#length === 0) {
        bytes = piece;
      } else {
        this.#append(piece);
        bytes = this.#held.subarray(0, length);
        const next = this.#spare;
        this.#spare = this.#held.length <= KEPT_BYTES ? this.#held : NOTHING;
        this.#held = next;
      }
    }
    this.#length = 0;
    if (!bytes) documents.push(tooLong(this.#line, length, this.#maxBytes));
    else if (isBlank(bytes)) return;
    else documents.push(unterminated ? { line: this.#line, bytes, unterminated } : { line: this.#line, bytes });
  }
}

/** Yields the lines of a stream, one array per chunk. */
export async function* cutLines(bytes: AsyncIterable<Buffer>, lines: LineCutter): AsyncGenerator<RawDocument[]> {
  for await (const chunk of bytes) yield lines.push(chunk);
  yield lines.end();
}

/** Creates the error for a document over the size limit. None of its bytes are kept. */
export function tooLong(line: number, length: number, maxBytes: number, uid?: string): RawDocument {
  const message = `the measurement has ${length} bytes, more than max_measurement_bytes (${maxBytes})`;
  return { line, uid, bytes: Buffer.alloc(0), error: { class: 'DocumentTooLong', message, skipped: false } };
}

/** Reports whether a line has only the white space of JSON. */
function isBlank(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return false;
  return true;
}
