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
 * costs time and no memory. Throws DamagedObjectError at the damage; errors of the source pass through. Of an object that
 * ends early all that can be had came before; of one damaged within, the chunk with the damage is lost.
 *
 * Not `for await (const chunk of source.pipe(createGunzip()))`: a stream that fails drops the output it still holds.
 */
export async function* gunzip(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const engine = createGunzip({ chunkSize: CHUNK_BYTES });
  const ready: Buffer[] = [];
  let damage: Error | undefined;
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

  try {
    for await (const piece of source) {
      pending = true;
      engine.write(piece, () => {
        pending = false;
        wake();
      });
      yield* settle();
    }
    pending = true;
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
