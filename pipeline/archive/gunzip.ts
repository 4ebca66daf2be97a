import { hasEngine, InflateError, Inflater } from './inflate.ts';
import { inflateByStream } from './inflate-stream.ts';

/** Speed compared with gunzipSync: 0.9 with 64 KiB, 1.0 with 256 KiB, 1.05 with 512 KiB and more. */
const CHUNK_BYTES = 512 * 1024;

const GZIP_MAGIC = [0x1f, 0x8b];

/** The stored bytes of an object are damaged or end early. Output before the damage was yielded. */
export class DamagedObjectError extends Error {
  override name = 'DamagedObjectError';
}

/** Checked once: the files of this Node do not change. */
const HAS_ENGINE = hasEngine();

/**
 * Decompresses gzip (one or several members) as a stream of chunks. All chunks share one buffer: a chunk is valid until the reader
 * asks for the next one. A gzip bomb costs time but not memory. Zeros after or between members are padding; anything else there
 * that is not a member is damage. If the object ends early, all recoverable output is yielded first; if it is damaged inside, the
 * chunk with the damage is lost. Throws DamagedObjectError at the damage, and passes on errors of the source.
 *
 * @param byEngine decompresses on this thread; otherwise by Node's streams, which are slower. Tests pass both.
 */
export async function* gunzip(source: AsyncIterable<Buffer>, byEngine = HAS_ENGINE): AsyncGenerator<Buffer> {
  try {
    yield* byEngine ? inflateHere(source) : inflateByStream(source);
  } catch (error) {
    if (!(error instanceof InflateError)) throw error;
    throw new DamagedObjectError(`broken gzip: ${error.message}`, { cause: error });
  }
}

async function* inflateHere(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let inflater = new Inflater();
  let filled = 0;
  let padded = false; // the last bytes read are after a member and do not begin another

  function* full(): Generator<Buffer> {
    for (;;) {
      filled = inflater.read(chunk, filled);
      if (filled < chunk.length) return;
      yield chunk;
      filled = 0;
    }
  }
  try {
    for await (const piece of source) {
      for (let rest = piece; rest.length > 0; rest = rest.subarray(rest.length - inflater.unread)) {
        if (padded) {
          rest = withoutZeros(rest);
          padded = rest.length === 0;
          if (padded) break;
          inflater.close();
          inflater = new Inflater();
        }
        inflater.write(rest);
        yield* full();
        padded = inflater.unread > 0;
      }
    }
    if (!padded) {
      inflater.end();
      yield* full();
    }
  } catch (error) {
    if (error instanceof InflateError && filled > 0) yield chunk.subarray(0, filled);
    throw error;
  } finally {
    inflater.close();
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}

function withoutZeros(bytes: Buffer): Buffer {
  const at = bytes.findIndex(byte => byte !== 0);
  return at === -1 ? bytes.subarray(bytes.length) : bytes.subarray(at);
}

/** Gunzips a stream that starts with the gzip magic, and passes on any other stream unchanged. */
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
