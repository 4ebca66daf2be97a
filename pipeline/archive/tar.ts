import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { DamagedObjectError } from './gunzip.ts';

/** One member of a tar: its name, its length and, lazily, its bytes. */
export interface TarMember {
  readonly name: string;
  /** False for links, devices and what else is no file. */
  readonly isFile: boolean;
  readonly size: number;
  readonly bytes: AsyncIterable<Buffer>;
}

/** Tars from before POSIX bear no magic; the checksum of each header still tells whether it is one. The types do not know the option. */
const OPTIONS: object = { allowUnknownFormat: true };

/**
 * The members of a tar but its directories, one after the other, as a stream; what the reader leaves of a member is read past.
 * Throws DamagedObjectError where the tar is damaged or ends early; errors of the source pass through.
 */
export async function* readTar(source: AsyncIterable<Buffer>): AsyncGenerator<TarMember> {
  const members = extract(OPTIONS);
  let sourceError: { error: unknown } | undefined;
  async function* untilError() {
    try {
      // Streams hold what they are given longer than it is good.
      for await (const chunk of source) yield Buffer.from(chunk);
    } catch (error) {
      // An error would make the streams drop the members they hold, so for them the source just ends.
      sourceError = { error };
    }
  }
  const reasonOf = (error: unknown) =>
    sourceError
      ? sourceError.error
      : new DamagedObjectError(`broken tar: ${(error as Error).message}`, { cause: error });
  async function* contentOf(entry: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    try {
      yield* entry;
    } catch (error) {
      throw reasonOf(error);
    }
  }
  const input = Readable.from(untilError(), { objectMode: false });
  input.pipe(members);
  try {
    for await (const entry of members) {
      const { name, type, size } = entry.header;
      if (type !== 'directory') {
        yield {
          name,
          isFile: type === 'file' || type === 'contiguous-file',
          size: size ?? 0,
          bytes: contentOf(entry as AsyncIterable<Buffer>),
        };
      }
      entry.resume();
    }
  } catch (error) {
    throw reasonOf(error);
  } finally {
    input.destroy();
    members.destroy();
  }
  if (sourceError) throw sourceError.error;
}
