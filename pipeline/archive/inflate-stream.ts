import { once } from 'node:events';
import { createGunzip, type Gunzip } from 'node:zlib';
import { InflateError } from './inflate.ts';

/** Stored bytes given to the stream at a time. They become at most a thousand times as many, which are in memory at once. */
const PIECE_BYTES = 16 * 1024;

/**
 * Decompresses gzip by Node's documented streams, for a Node without the engine that `Inflater` uses. It gives the same bytes as
 * `Inflater` in `gunzip`, but on libuv's threads, in new chunks. Throws InflateError at the damage, and passes on errors of the source.
 */
export async function* inflateByStream(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let member = new Member();
  try {
    for await (const piece of source) {
      let rest = piece;
      while (rest.length > 0) {
        if (member.ended) {
          // Zeros between and after members are padding.
          const at = rest.findIndex(byte => byte !== 0);
          if (at === -1) break;
          rest = rest.subarray(at);
          member.close();
          member = new Member();
        }
        const used = await member.write(rest.subarray(0, PIECE_BYTES));
        yield* member.take();
        rest = rest.subarray(used);
      }
    }
    if (!member.ended) await member.end();
    yield* member.take();
  } catch (error) {
    yield* member.take();
    throw error;
  } finally {
    member.close();
  }
}

/** A stream that decompresses members until padding follows one. */
class Member {
  readonly #engine: Gunzip = createGunzip();
  readonly #over: Promise<unknown>;
  #chunks: Buffer[] = [];

  constructor() {
    this.#engine.on('data', chunk => this.#chunks.push(chunk));
    this.#over = once(this.#engine, 'end').catch(error => {
      throw new InflateError(error.message, { cause: error });
    });
    // The error is thrown where the next operation waits for it.
    this.#over.catch(() => {});
  }

  get ended(): boolean {
    return this.#engine.readableEnded;
  }

  /** Returns the number of bytes that it used; less than all if the member ended before. Throws InflateError. */
  async write(stored: Buffer): Promise<number> {
    const before = this.#engine.bytesWritten;
    await Promise.race([this.#over, new Promise<void>(resolve => this.#engine.write(stored, () => resolve()))]);
    if (this.#engine.errored) await this.#over;
    return this.#engine.bytesWritten - before;
  }

  /** Throws InflateError if the stored bytes ended too early. */
  async end(): Promise<void> {
    this.#engine.end();
    await this.#over;
  }

  /** Returns the output since the last call. */
  take(): Buffer[] {
    const taken = this.#chunks;
    this.#chunks = [];
    return taken;
  }

  close(): void {
    this.#engine.close();
  }
}
