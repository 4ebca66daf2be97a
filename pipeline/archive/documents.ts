import type { Archive } from './archive.ts';
import { readJsonCan, readTarCan, readYamlCan } from './can.ts';
import type { RawDocument, Reading } from './document.ts';
import { DamagedObjectError, gunzip, gunzipped } from './gunzip.ts';
import type { ArchiveFile, Layout } from './keys.ts';
import { cutLines, LineCutter } from './lines.ts';
import { readPosts } from './postcan.ts';

/** What became of an object once it is read to its end. */
export interface FileEnd {
  /** Documents yielded, those with an error included. */
  readonly documents: number;
  /** Stored bytes read. */
  readonly compressedBytes: number;
  /** Decompressed bytes. */
  readonly bytes: number;
  /** Set when the object is damaged or ends early: what could be read was yielded, and this says how it broke. */
  readonly truncated?: string;
}

export interface ReadOptions {
  /** A document longer than this is read past without being held, and yielded as an error. */
  readonly maxMeasurementBytes: number;
  readonly signal?: AbortSignal;
}

/** How measurements are packed: as in a layout of the archive, or one a line, gzipped or not, as people keep them. */
export type Packing = Layout | 'lines';

const READERS: Record<Packing, (reading: Reading) => AsyncGenerator<RawDocument[]>> = {
  jsonl: readJsonLines,
  postcan: readPosts,
  tarcan: readTarCan,
  jsoncan: readJsonCan,
  yamlcan: readYamlCan,
  lines: readLooseLines,
};

/**
 * The measurements of one object, in order, as arrays (all whole documents of a decompressed chunk, never empty), lazily and
 * with back-pressure. The bytes of an array are written over when the next one is asked for. What is held is a few chunks and
 * one document, whatever the size of the object. Damage inside the object never throws: see RawDocument.error and
 * FileEnd.truncated. Throws the archive's errors, and the signal's reason.
 */
export function readDocuments(
  archive: Archive,
  file: Pick<ArchiveFile, 'key' | 'size' | 'etag' | 'layout'>,
  options: ReadOptions,
): AsyncGenerator<RawDocument[], FileEnd> {
  return readPacked(archive.open(file, { signal: options.signal }), file.layout, options);
}

/** The same for stored bytes from anywhere. Throws the errors of the source, and the signal's reason. */
export async function* readPacked(
  source: AsyncIterable<Buffer>,
  packing: Packing,
  options: ReadOptions,
): AsyncGenerator<RawDocument[], FileEnd> {
  const { maxMeasurementBytes: maxBytes, signal } = options;
  const end = { documents: 0, compressedBytes: 0, bytes: 0 };
  const stored = count(source, length => {
    end.compressedBytes += length;
  });
  const counted = (bytes: AsyncIterable<Buffer>) =>
    count(bytes, length => {
      end.bytes += length;
    });
  try {
    for await (const documents of READERS[packing]({ stored, maxBytes, counted })) {
      signal?.throwIfAborted();
      if (documents.length === 0) continue;
      end.documents += documents.length;
      yield documents;
    }
  } catch (error) {
    if (!(error instanceof DamagedObjectError)) throw error;
    if (end.compressedBytes > 0) return { ...end, truncated: error.message };
  }
  // Some readers take nothing for an archive of nothing; but whoever stored a measurement stored at least a frame.
  return end.compressedBytes === 0 && packing !== 'lines' ? { ...end, truncated: 'the object is empty' } : end;
}

/** L1 and L3. The rest of a line that a truncated object breaks off is no measurement. */
function readJsonLines({ stored, maxBytes, counted }: Reading): AsyncGenerator<RawDocument[]> {
  return cutLines(counted(gunzip(stored)), new LineCutter(maxBytes));
}

function readLooseLines({ stored, maxBytes, counted }: Reading): AsyncGenerator<RawDocument[]> {
  return cutLines(counted(gunzipped(stored)), new LineCutter(maxBytes));
}

async function* count(bytes: AsyncIterable<Buffer>, add: (length: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    add(chunk.length);
    yield chunk;
  }
}
