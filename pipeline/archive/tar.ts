import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { DamagedObjectError } from './gunzip.ts';

/** One member of a tar: its name, its size and, lazily, its bytes. */
export interface TarMember {
  readonly name: string;
  /** False for links, devices and other members that are not files. */
  readonly isFile: boolean;
  readonly size: number;
  readonly bytes: AsyncIterable<Buffer>;
}

/** Tars from before POSIX have no magic; the checksum of each header still identifies it. The type definitions lack this option. */
const OPTIONS: object = { allowUnknownFormat: true };

/**
 * Yields the members of a tar, except directories, as a stream. Bytes of a member that the reader leaves are skipped. Throws
 * DamagedObjectError where the tar is damaged or ends early, and passes on errors of the source.
 */
export async function* readTar(source: AsyncIterable<Buffer>): AsyncGenerator<TarMember> {
  const members = extract(OPTIONS);
  let sourceError: { error: unknown } | undefined;
  async function* untilError() {
    try {
      // The streams keep chunks after the source reuses their memory, so each chunk is copied.
      for await (const chunk of source) yield Buffer.from(chunk);
    } catch (error) {
      // An error would make the streams drop the members they hold, so the source ends normally for them.
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
