import { constants, createGunzip, type Gunzip, gzipSync, type ZlibOptions } from 'node:zlib';

/**
 * Internal engine of Node's zlib streams. It is not documented, but unchanged since Node 10, and npm uses it to read packages
 * (minizlib). The documented functions either pass chunks to libuv's threads or need the whole object at once. `hasEngine` checks it; a Node
 * without it uses `inflateByStream`.
 */
interface Handle {
  onerror: (message: string) => void;
  writeSync(
    flush: number,
    input: Uint8Array,
    inputAt: number,
    inputLength: number,
    output: Uint8Array,
    outputAt: number,
    outputLength: number,
  ): void;
}

/** The bytes are not gzip, or end early. */
export class InflateError extends Error {
  override name = 'InflateError';
}

/**
 * Decompresses gzip (one or several members) on the calling thread, into the caller's memory. A batch uses exactly one thread.
 * Streams inflate on other threads: two batches on two cores were then only 1.3 times as fast as one. Their new chunks also made V8
 * collect the whole heap 30 times for 160 MB, a quarter of the total time.
 */
export class Inflater {
  readonly #engine: Gunzip;
  readonly #handle: Handle;
  /** After each write: free bytes of the output, and unread bytes of the input. */
  readonly #left: Uint32Array;
  #damage: string | undefined;
  #input: Uint8Array = NOTHING;
  #flush: number = constants.Z_NO_FLUSH;

  constructor(open: (options: ZlibOptions) => unknown = createGunzip) {
    // The stream's own buffer is never used.
    this.#engine = open({ chunkSize: constants.Z_MIN_CHUNK }) as Gunzip;
    const { _handle, _writeState } = this.#engine as unknown as { _handle: Handle; _writeState: Uint32Array };
    this.#handle = _handle;
    this.#left = _writeState;
    _handle.onerror = message => {
      this.#damage = message;
    };
  }

  /** Provides the next stored bytes. Call it only after `read` left room in its output, which means that the previous bytes are used up. */
  write(stored: Uint8Array): void {
    this.#input = stored;
  }

  /** Marks the end of the stored bytes. `read` then throws if they end too early. */
  end(): void {
    this.#input = NOTHING;
    this.#flush = constants.Z_FINISH;
  }

  /**
   * Inflates into `output` from position `at` and returns the end position, which is less than the length of `output` when the
   * input is used up. Throws InflateError.
   */
  read(output: Uint8Array, at: number): number {
    const input = this.#input;
    this.#handle.writeSync(this.#flush, input, 0, input.length, output, at, output.length - at);
    if (this.#damage !== undefined) throw new InflateError(this.#damage);
    this.#input = input.subarray(input.length - this.#left[1]!);
    return output.length - this.#left[0]!;
  }

  /** Number of bytes that `read` left although there was room. They start with a zero after the end of a member. */
  get unread(): number {
    return this.#input.length;
  }

  close(): void {
    this.#engine.close();
  }
}

const NOTHING = new Uint8Array(0);

/**
 * Returns whether this Node has the engine that `Inflater` uses, with the behaviour that it relies on: it inflates a few bytes and compares
 * them.
 *
 * @param open creates the stream whose engine is tried
 */
export function hasEngine(open: (options: ZlibOptions) => unknown = createGunzip): boolean {
  const text = Buffer.from('two members, one after the other');
  const output = Buffer.alloc(2 * text.length + 1);
  const stored = Buffer.concat([gzipSync(text), gzipSync(text), Buffer.alloc(3)]);
  let inflater: Inflater | undefined;
  try {
    inflater = new Inflater(open);
    inflater.write(stored);
    const end = inflater.read(output, 0);
    return end === 2 * text.length && inflater.unread === 3 && output.toString('latin1', 0, end) === `${text}${text}`;
  } catch {
    return false;
  } finally {
    inflater?.close();
  }
}
