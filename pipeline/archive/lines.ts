import type { RawDocument } from './document.ts';

const LF = 0x0a;
const NOTHING = Buffer.alloc(0);

/** Memory for held lines that is kept from line to line; a longer line has memory of its own. */
const KEPT_BYTES = 4 * 1024 * 1024;

/**
 * Cuts a stream of bytes into lines at LF. What it holds is at most the line under way, and that at most `maxBytes`: the rest of
 * a longer line is read past. Blank lines yield nothing, but count.
 *
 * A line within a chunk is a view of it, and one that goes over its end lies in memory of the cutter's own, so lines are good
 * until the next chunk comes.
 */
export class LineCutter {
  readonly #maxBytes: number;
  #line: number;
  /** The line under way: its beginning, unless it is too long, and how long it is so far. */
  #held: Buffer = NOTHING;
  #length = 0;
  /** What the line before was held in: it is still being read when the next one begins. */
  #spare: Buffer = NOTHING;

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
    while (start < chunk.length) {
      if (chunk[start] === LF && this.#length === 0) {
        // Without a search: an object of nothing but newlines is read a hundred times faster.
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

  /** The last line, where the stream ended without a newline. */
  end(): RawDocument[] {
    const documents: RawDocument[] = [];
    if (this.#length > 0) this.#finish(NOTHING, documents, true);
    return documents;
  }

  /** Keeps a piece of a line whose end is not here. */
  #hold(piece: Buffer): void {
    const length = this.#length + piece.length;
    if (length > this.#maxBytes) this.#held = NOTHING;
    else this.#append(piece);
    this.#length = length;
  }

  #append(piece: Buffer): void {
    const length = this.#length + piece.length;
    if (this.#held.length < length) {
      // Doubling, so that a long line is copied twice at most.
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
