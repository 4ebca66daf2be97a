import { createGunzip } from 'node:zlib';

/** Each chunk costs a round trip through the thread pool. Of gunzipSync's speed: 64 KiB 0.9, 256 KiB 1.0, 512 KiB and more 1.05. */
const CHUNK_BYTES = 512 * 1024;

const GZIP_MAGIC = [0x1f, 0x8b];

/** The stored bytes of an object are damaged or end early. What came before was handed on. */
export class DamagedObjectError extends Error {
  override name = 'DamagedObjectError';
}

/**
 * Decompresses gzip (one member or several in a row) as a stream. At most two chunks of output wait at a time, so a gzip bomb
 * costs time and no memory. Zeros behind a member are padding; anything else there that is no member is damage. Throws
 * DamagedObjectError at the damage; errors of the source pass through. Of an object that ends early all that can be had came
 * before; of one damaged within, the chunk with the damage is lost.
 */
export async function* gunzip(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const input = new Input(source);
  try {
    do yield* gunzipMembers(input);
    while (await input.skipZeros());
  } finally {
    await input.close();
  }
}

/** Pieces of a stream, of which the last can be given back in part. */
class Input {
  readonly #source: AsyncIterator<Buffer>;
  #back: Buffer | undefined;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async next(): Promise<Buffer | undefined> {
    const back = this.#back;
    this.#back = undefined;
    if (back) return back;
    const next = await this.#source.next();
    return next.done ? undefined : next.value;
  }

  giveBack(piece: Buffer): void {
    this.#back = piece;
  }

  /** Passes over zeros; false when nothing else is left. */
  async skipZeros(): Promise<boolean> {
    for (let piece = await this.next(); piece; piece = await this.next()) {
      const at = piece.findIndex(byte => byte !== 0);
      if (at === -1) continue;
      this.giveBack(piece.subarray(at));
      return true;
    }
    return false;
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}

/**
 * Decompresses members up to the end of the input, or to a zero behind one of them: there zlib's stream ends, and what it has not
 * taken is given back.
 *
 * Not `for await (const chunk of source.pipe(createGunzip()))`: a stream that fails drops the output it still holds.
 */
async function* gunzipMembers(input: Input): AsyncGenerator<Buffer> {
  const engine = createGunzip({ chunkSize: CHUNK_BYTES });
  const ready: Buffer[] = [];
  let damage: Error | undefined;
  let ended = false;
  let pending = false; // what was given to the engine is not yet worked off
  let wake = () => {};
  engine.on('data', (chunk: Buffer) => {
    ready.push(chunk);
    engine.pause();
    wake();
  });
  engine.on('error', error => {
    damage = error;
    wake();
  });
  engine.on('end', () => {
    ended = true;
    pending = false;
    wake();
  });

  async function* settle(): AsyncGenerator<Buffer> {
    while (ready.length > 0 || pending) {
      const chunk = ready.shift();
      if (chunk) {
        engine.resume(); // inflates the next chunk while the reader works on this one
        yield chunk;
        continue;
      }
      if (damage) throw new DamagedObjectError(`broken gzip: ${damage.message}`, { cause: damage });
      await new Promise<void>(resolve => {
        wake = resolve;
        engine.resume();
      });
    }
  }

  let given = 0;
  try {
    for (let piece = await input.next(); piece; piece = await input.next()) {
      given += piece.length;
      pending = true;
      engine.write(piece, () => {
        pending = false;
        wake();
      });
      yield* settle();
      const left = given - engine.bytesWritten;
      if (left === 0) continue;
      input.giveBack(piece.subarray(piece.length - left));
      return;
    }
    pending = !ended;
    engine.end();
    yield* settle();
  } finally {
    engine.destroy();
  }
}

/** Gunzips a stream that starts like gzip, and passes on every other. */
export async function* gunzipped(stored: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const source = stored[Symbol.asyncIterator]();
  try {
    let head: Buffer = Buffer.alloc(0);
    while (head.length < GZIP_MAGIC.length) {
      const next = await source.next();
      if (next.done) break;
      head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
    }
    async function* all(): AsyncGenerator<Buffer> {
      if (head.length > 0) yield head;
      for (let next = await source.next(); !next.done; next = await source.next()) yield next.value;
    }
    yield* GZIP_MAGIC.every((byte, index) => head[index] === byte) ? gunzip(all()) : all();
  } finally {
    await source.return?.();
  }
}
