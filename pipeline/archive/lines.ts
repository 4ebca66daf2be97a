import type { RawDocument } from './documents.ts';

const LF = 0x0a;
const NOTHING = Buffer.alloc(0);

/**
 * Cuts a stream of bytes into lines at LF. What it holds is at most the line under way, and that at most `maxBytes`: the rest of
 * a longer line is read past. Blank lines yield nothing, but count.
 */
export class LineCutter {
  readonly #maxBytes: number;
  #line: number;
  /** The beginning of the line under way, `#length` bytes; nothing is kept of a line that is too long. */
  #held: Buffer = NOTHING;
  #length = 0;
  /** Whether `#held` is a buffer of our own, with room to grow in, and no view of somebody's chunk. */
  #own = false;

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
    if (length > this.#maxBytes) this.#drop();
    else if (this.#length === 0) this.#held = piece;
    // Doubling, so that a long line is copied twice at most and its chunks can go.
    else this.#append(piece, Math.min(this.#maxBytes, 2 * length));
    this.#length = length;
  }

  #append(piece: Buffer, room: number): void {
    const length = this.#length + piece.length;
    if (!this.#own || this.#held.length < length) {
      const held = Buffer.allocUnsafeSlow(room);
      this.#held.copy(held, 0, 0, this.#length);
      this.#held = held;
      this.#own = true;
    }
    piece.copy(this.#held, this.#length);
  }

  #drop(): void {
    this.#held = NOTHING;
    this.#own = false;
  }

  #finish(piece: Buffer, documents: RawDocument[], unterminated: boolean): void {
    const length = this.#length + piece.length;
    this.#line++;
    let bytes: Buffer | undefined;
    if (length <= this.#maxBytes) {
      if (this.#length > 0) this.#append(piece, length);
      bytes = this.#length > 0 ? this.#held.subarray(0, length) : piece;
    }
    this.#drop();
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
