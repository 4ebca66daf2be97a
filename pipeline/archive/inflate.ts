import { constants, createGunzip, type Gunzip } from 'node:zlib';

/**
 * What Node's zlib streams work with. Not documented, but unchanged since Node 10, and npm reads its packages through it
 * (minizlib). The documented functions either give a chunk away to libuv's threads, or want the whole object at once.
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

/** The bytes are no gzip, or end early. */
export class InflateError extends Error {
  override name = 'InflateError';
}

/**
 * Decompresses gzip, one member or several in a row, on the thread that calls, into memory of the caller's. A batch has one
 * thread and no more: with streams, which inflate on other threads, two batches on two cores were only 1.3
 * times as fast as one; and their fresh chunks made V8 collect the whole heap 30 times for 160 MB, a quarter of all time.
 */
export class Inflater {
  readonly #engine: Gunzip;
  readonly #handle: Handle;
  /** Room left in the output and bytes left of the input, after each write. */
  readonly #left: Uint32Array;
  #damage: string | undefined;
  #input: Uint8Array = NOTHING;
  #flush: number = constants.Z_NO_FLUSH;

  constructor() {
    // The stream's own chunk is never used.
    this.#engine = createGunzip({ chunkSize: constants.Z_MIN_CHUNK });
    const { _handle, _writeState } = this.#engine as unknown as { _handle: Handle; _writeState: Uint32Array };
    this.#handle = _handle;
    this.#left = _writeState;
    _handle.onerror = message => {
      this.#damage = message;
    };
  }

  /** Gives the next stored bytes. Not before `read` has left room in its output: then the last ones are used up. */
  write(stored: Uint8Array): void {
    this.#input = stored;
  }

  /** Says that there are no more stored bytes: `read` throws where they end too early. */
  end(): void {
    this.#input = NOTHING;
    this.#flush = constants.Z_FINISH;
  }

  /** Inflates into `output` from `at` on and returns where it came to: less than its end when the input is used up. Throws InflateError. */
  read(output: Uint8Array, at: number): number {
    const input = this.#input;
    this.#handle.writeSync(this.#flush, input, 0, input.length, output, at, output.length - at);
    if (this.#damage !== undefined) throw new InflateError(this.#damage);
    this.#input = input.subarray(input.length - this.#left[1]!);
    return output.length - this.#left[0]!;
  }

  /** Bytes of the input that `read` has left although there was room: they begin with a zero behind the end of a member. */
  get unread(): number {
    return this.#input.length;
  }

  close(): void {
    this.#engine.close();
  }
}

const NOTHING = new Uint8Array(0);
