import type { Archive } from './archive.ts';
import { readJsonCan, readTarCan, readYamlCan } from './can.ts';
import type { RawDocument, Reading } from './document.ts';
import { DamagedObjectError, gunzip, gunzipped } from './gunzip.ts';
import type { ArchiveFile, Layout } from './keys.ts';
import { cutLines, LineCutter } from './lines.ts';
import { readPosts } from './postcan.ts';

/** Result of reading an object to its end. */
export interface FileEnd {
  /** Number of documents yielded, including those with an error. */
  readonly documents: number;
  /** Number of stored bytes read. */
  readonly compressedBytes: number;
  /** Number of decompressed bytes. */
  readonly bytes: number;
  /** Describes the damage of an object that is damaged or ends early. The readable documents were yielded. */
  readonly truncated?: string;
}

export interface ReadOptions {
  /** A longer document is not kept in memory; the reader yields an error in its place. */
  readonly maxMeasurementBytes: number;
  readonly signal?: AbortSignal;
}

/** How measurements are packed: a layout of the archive, or `lines` for a user's own file with one measurement per line, gzipped or not. */
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
 * Reads the measurements of one object, in order, lazily and with back-pressure. Yields arrays, never empty, of all documents
 * completed by one decompressed chunk. The bytes of an array are overwritten when the reader asks for the next one. Memory holds a
 * few chunks and one document, whatever the size of the object. Damage inside the object does not throw: see RawDocument.error and
 * FileEnd.truncated. Throws the archive's errors and the signal's reason.
 */
export function readDocuments(
  archive: Archive,
  file: Pick<ArchiveFile, 'key' | 'size' | 'etag' | 'layout'>,
  options: ReadOptions,
): AsyncGenerator<RawDocument[], FileEnd> {
  return readPacked(archive.open(file, { signal: options.signal }), file.layout, options);
}

/** Reads measurements as readDocuments does, from any source of stored bytes. Throws the errors of the source and the signal's reason. */
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
  // Some readers accept zero bytes as an empty archive. But a stored object has at least the frame of its compression.
  return end.compressedBytes === 0 && packing !== 'lines' ? { ...end, truncated: 'the object is empty' } : end;
}

/** Reads L1 and L3. A partial line at the end of a truncated object is not a measurement. */
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
