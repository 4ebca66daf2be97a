import { type Archive, compareKeys, ObjectMissingError } from '../archive/archive.ts';
import { type Batch, listBatch } from '../archive/batches.ts';
import type { RawDocument } from '../archive/document.ts';
import { type FileEnd, readDocuments } from '../archive/documents.ts';
import type { ArchiveFile } from '../archive/keys.ts';
import { type Counts, noCounts } from '../counts.ts';
import { normaliseTestName } from '../filter.ts';
import type { OpenedRun } from '../ledger/ledger.ts';
import { type Outcome, Transformer } from '../observations/transformer.ts';
import type { IpMetadata } from '../reference/ip-metadata.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { RowEncoder } from '../tables/encoder.ts';
import { OBSERVATION_TABLES } from '../tables/schema.ts';
import { BatchWriter, type OpenFile } from './batch-writer.ts';
import { SHRINK_SHARE } from './shrink.ts';

/** Where a batch can be taken up again: all files up to this key, itself included, are in the tables and in these counts. */
export interface Checkpoint {
  readonly key: string;
  readonly counts: Counts;
}

export interface BatchTask {
  readonly run: OpenedRun;
  readonly batch: Batch;
  /** What an earlier attempt had done. */
  readonly resume?: Checkpoint;
}

/** What a batch is worked on with. */
export interface BatchTools {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
  readonly ipMetadata: IpMetadata;
  readonly maxMeasurementBytes: number;
  /** Rows in one INSERT at most. */
  readonly writeBatchSize: number;
}

export interface BatchWatch {
  readonly signal?: AbortSignal;
  /** Told after each piece of work, with what is done so far, files being worked on included. */
  readonly onProgress?: (counts: Counts) => void;
  readonly onCheckpoint?: (checkpoint: Checkpoint) => void;
  /** Told of each INSERT that will be tried again. */
  readonly onRetry?: (error: Error, attempt: number, wait: number) => void;
}

/** Encoded rows held at most, of all tables, before they are sent; as many again may be on their way. */
export const FLUSH_BYTES = 16 * 1024 * 1024;
/** Compressed bytes, and milliseconds, after which the end of a file becomes a checkpoint. */
const CHECKPOINT_BYTES = 16_000_000;
const CHECKPOINT_INTERVAL = 20_000;

/**
 * One batch of a run, from the archive to rows, all on the thread that calls it: fetch, decompress, split, decode,
 * transform, encode, insert. Returns the counts of the whole batch, those of `resume` included.
 *
 * May be cut off anywhere and called again with the last checkpoint, or without: rows of one generation that are written twice
 * are one row to FINAL and, once the run has ended, to everybody. Throws errors of the archive and of ClickHouse, and the signal's reason.
 */
export async function observeBatch(tools: BatchTools, task: BatchTask, watch: BatchWatch = {}): Promise<Counts> {
  const { run, batch, resume } = task;
  const { signal } = watch;
  const { archive, clickhouse, ipMetadata, writeBatchSize } = tools;
  const encoder = new RowEncoder();
  // created_at is the start of the run: rows of an attempt that is repeated are the same to the last byte.
  const { bucket, generation, filter } = run;
  const transformer = new Transformer({ bucket, generation, createdAt: generation, filter, ipMetadata, encoder });
  const writer = new BatchWriter(clickhouse, encoder, run, resume ? structuredClone(resume.counts) : noCounts(), {
    batchSize: writeBatchSize,
    signal,
    ...(watch.onRetry && { onRetry: watch.onRetry }),
    onCheckpoint: (key, counts) => watch.onCheckpoint?.({ key, counts }),
  });
  const range = { first: resume?.key ?? batch.first, last: batch.last };
  let checkpointAt = Date.now();

  try {
    for await (const listed of listBatch(archive, bucket, filter, range, { signal })) {
      if (resume && compareKeys(listed.key, resume.key) <= 0) continue;
      const file = writer.openFile(listed);
      const documents = readDocuments(archive, listed, { maxMeasurementBytes: tools.maxMeasurementBytes, signal });
      try {
        let next = await documents.next();
        for (; !next.done; next = await documents.next()) {
          for (const document of next.value) {
            take(transformer, encoder, writer, file, document);
            if (writer.isFull || isFull(encoder, writeBatchSize)) await writer.flush();
          }
          watch.onProgress?.(writer.total());
          signal?.throwIfAborted();
        }
        close(writer, file, next.value);
      } finally {
        // Closes the object where it was not read to its end.
        await documents.return(undefined as never);
      }
      if (writer.unsavedBytes >= CHECKPOINT_BYTES || Date.now() - checkpointAt >= CHECKPOINT_INTERVAL) {
        await writer.checkpoint();
        checkpointAt = Date.now();
      }
    }
    await writer.checkpoint();
    await writer.drain();
    const total = writer.total();
    // An archive that goes away after the plan would otherwise end as a bucket without measurements.
    if (total.files < batch.files * SHRINK_SHARE) {
      throw new ObjectMissingError(
        `${batch.files} objects were listed from ${batch.first} to ${batch.last}, and ${total.files} were there to be read; list the bucket again`,
      );
    }
    return total;
  } finally {
    await writer.stop();
  }
}

function isFull(encoder: RowEncoder, rows: number): boolean {
  return encoder.size >= FLUSH_BYTES || OBSERVATION_TABLES.some(({ name }) => encoder.rows(name) >= rows);
}

function take(
  transformer: Transformer,
  encoder: RowEncoder,
  writer: BatchWriter,
  file: OpenFile,
  document: RawDocument,
): void {
  const before = OBSERVATION_TABLES.map(({ name }) => encoder.rows(name));
  const outcome = transformer.transform(document, file.listed.key);
  const { counts } = file;
  counts.read++;
  counts[outcome.status]++;
  if (outcome.status === 'failed') {
    const { stage, class: kind, message } = outcome.error ?? { stage: 'transform', class: 'Unknown', message: '' };
    const { uid, testName } = outcome;
    writer.fail({ key: file.listed.key, line: document.line, stage, class: kind, message, uid, testName });
  }
  if (outcome.status !== 'transformed') return;
  let wrote = false;
  OBSERVATION_TABLES.forEach(({ name }, index) => {
    const rows = encoder.rows(name) - before[index]!;
    if (rows === 0) return;
    counts.rows[name] = (counts.rows[name] ?? 0) + rows;
    wrote = true;
  });
  if (!wrote || outcome.uid === undefined || !isStray(outcome, file.listed)) return;
  file.strays.push(outcome.uid);
  // Which of the two the rows get is decided when they are stored.
  if (outcome.claim) file.strays.push(outcome.claim.substitute);
}

/** Whether a measurement says something else of itself than its key does (FileRecord.strays). */
export function isStray(outcome: Outcome, file: Pick<ArchiveFile, 'probeCC' | 'testName' | 'hour'>): boolean {
  const { uid = '', probeCC, testName } = outcome;
  if (file.probeCC !== undefined && probeCC !== file.probeCC) return true;
  if (normaliseTestName(testName ?? '') !== file.testName) return true;
  // Only a uid that begins with an hour of upload can be taken for one of another hour; the year of a trivial id is 01YY.
  return /^20\d{8}/.test(uid) && uid.slice(0, 10) !== file.hour.replace(/\D/g, '');
}

function close(writer: BatchWriter, file: OpenFile, end: FileEnd): void {
  file.counts.files = 1;
  file.counts.bytes = end.compressedBytes;
  file.decompressed = end.bytes;
  if (end.truncated !== undefined) {
    file.truncated = end.truncated;
    writer.fail({ key: file.listed.key, line: 0, stage: 'read', class: 'Truncated', message: end.truncated });
  }
  writer.closeFile(file);
}
