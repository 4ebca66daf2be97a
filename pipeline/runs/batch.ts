import { type Archive, compareKeys, ObjectMissingError } from '../archive/archive.ts';
import { ArchiveWaits } from '../archive/archive-waits.ts';
import { type Batch, listBatch } from '../archive/batches.ts';
import type { RawDocument } from '../archive/document.ts';
import { type FileEnd, readDocuments } from '../archive/documents.ts';
import type { ArchiveFile } from '../archive/keys.ts';
import { type Counts, noCounts } from '../counts.ts';
import { normaliseTestName } from '../filter.ts';
import type { OpenedRun } from '../ledger/ledger.ts';
import { type Outcome, Transformer } from '../observations/transformer.ts';
import type { HttpFingerprints } from '../reference/http-fingerprints.ts';
import type { IpMetadata } from '../reference/ip-metadata.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { RowEncoder } from '../tables/encoder.ts';
import { OBSERVATION_TABLES } from '../tables/schema.ts';
import { BatchWriter, type OpenFile } from './batch-writer.ts';
import { PartSpans } from './part-spans.ts';
import { SHRINK_SHARE } from './shrink.ts';

/** A point at which a batch can resume: all files up to and including this key are stored and in these counts. */
export interface Checkpoint {
  readonly key: string;
  readonly counts: Counts;
}

export interface BatchTask {
  readonly run: OpenedRun;
  readonly batch: Batch;
  /** Last checkpoint of an earlier attempt. */
  readonly resume?: Checkpoint;
}

/** The archive, server and settings that a batch needs. */
export interface BatchTools {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
  readonly ipMetadata: IpMetadata;
  readonly httpFingerprints?: HttpFingerprints | undefined;
  readonly maxMeasurementBytes: number;
  /** Maximum number of rows in one INSERT. */
  readonly writeBatchSize: number;
}

/**
 * Parts of the work on a batch whose time is counted. fetch: waits for the archive; unpack: decompression, and division into documents;
 * transform: documents to rows; insert: INSERTs with their retries.
 */
export type BatchStage = 'fetch' | 'unpack' | 'transform' | 'insert';

export interface BatchWatch {
  readonly signal?: AbortSignal;
  /** Called after each step with the counts so far, including files in progress. */
  readonly onProgress?: (counts: Counts) => void;
  readonly onCheckpoint?: (checkpoint: Checkpoint) => void;
  /** Called for each INSERT that will be retried. */
  readonly onRetry?: (error: Error, attempt: number, wait: number) => void;
  /** Receives the class of error of each INSERT that failed, also of one that will be retried. */
  readonly onInsertError?: (error: string) => void;
  /** Receives the seconds that a stage took, every few seconds and after each part of the batch. */
  readonly onStage?: (stage: BatchStage, seconds: number) => void;
}

/** Maximum size of encoded rows of all tables before they are sent. Rows of the same size may be in transit. */
export const FLUSH_BYTES = 32 * 1024 * 1024;
/** Compressed bytes, and milliseconds, after which the end of a file is a checkpoint. */
const CHECKPOINT_BYTES = 96_000_000;
const CHECKPOINT_INTERVAL = 20_000;
/** Milliseconds between two reports of the time that stages took. */
const STAGE_INTERVAL = 5_000;

/**
 * Processes one batch of a run from the archive to rows, on the calling thread: fetch, decompress, split, decode, transform, encode,
 * insert. Returns the counts of the whole batch, including those of `resume`.
 *
 * May be interrupted at any point and called again with the last checkpoint or without one. Rows of one generation that are written twice
 * are one row to FINAL, and to every reader after the end of the run. Throws errors of the archive and of ClickHouse, and the signal's reason.
 */
export async function observeBatch(tools: BatchTools, task: BatchTask, watch: BatchWatch = {}): Promise<Counts> {
  const { run, batch, resume } = task;
  const { signal } = watch;
  const { clickhouse, ipMetadata, httpFingerprints, writeBatchSize } = tools;
  const waits = new ArchiveWaits();
  const archive = waits.measured(tools.archive);
  const encoder = new RowEncoder();
  // created_at is the start of the run, so the rows of a repeated attempt are identical to the last byte.
  const { bucket, generation, filter } = run;
  const facts = { bucket, generation, createdAt: generation, httpFingerprints };
  const transformer = new Transformer({ ...facts, filter, ipMetadata, encoder });
  const done = resume ? structuredClone(resume.counts) : noCounts();
  const writer = new BatchWriter(
    { clickhouse, encoder, run, done },
    {
      batchSize: writeBatchSize,
      signal,
      ...(watch.onRetry && { onRetry: watch.onRetry }),
      onError: error => watch.onInsertError?.(error.name),
      onInserted: seconds => watch.onStage?.('insert', seconds),
      onCheckpoint: (key, counts) => watch.onCheckpoint?.({ key, counts }),
    },
  );
  const range = { first: resume?.key ?? batch.first, last: batch.last };
  let checkpointAt = Date.now();
  const part = new PartSpans(waits, watch.onStage);
  const reporting = setInterval(() => part.report(), STAGE_INTERVAL);

  try {
    for await (const listed of listBatch(archive, bucket, filter, range, { signal })) {
      if (resume && compareKeys(listed.key, resume.key) <= 0) continue;
      const file = writer.openFile(listed);
      const documents = readDocuments(archive, listed, { maxMeasurementBytes: tools.maxMeasurementBytes, signal });
      try {
        let next = await part.unpacking(documents.next());
        for (; !next.done; next = await part.unpacking(documents.next())) {
          for (const document of next.value) {
            take({ transformer, encoder, writer }, file, document);
            if (writer.isFull || isFull(encoder, writeBatchSize))
              await part.flush(writer.total(), () => writer.flush());
          }
          part.transformed();
          watch.onProgress?.(writer.total());
          signal?.throwIfAborted();
        }
        close(writer, file, next.value);
      } finally {
        // Closes the object if it was not read to its end.
        await documents.return(undefined as never);
      }
      if (writer.unsavedBytes >= CHECKPOINT_BYTES || Date.now() - checkpointAt >= CHECKPOINT_INTERVAL) {
        await part.flush(writer.total(), () => writer.checkpoint());
        checkpointAt = Date.now();
      }
    }
    await part.flush(writer.total(), () => writer.checkpoint());
    await writer.drain();
    const total = writer.total();
    // Without this check, an archive that disappears after the plan would look like a bucket without measurements.
    if (total.files < batch.files * SHRINK_SHARE) {
      throw new ObjectMissingError(
        `${batch.files} objects were listed from ${batch.first} to ${batch.last}, and ${total.files} were there to be read; list the bucket again`,
      );
    }
    return total;
  } finally {
    clearInterval(reporting);
    await writer.stop();
  }
}

function isFull(encoder: RowEncoder, rows: number): boolean {
  return encoder.size >= FLUSH_BYTES || OBSERVATION_TABLES.some(({ name }) => encoder.rows(name) >= rows);
}

interface RowMakers {
  readonly transformer: Transformer;
  readonly encoder: RowEncoder;
  readonly writer: BatchWriter;
}

/** Transforms one document into rows, and counts it. */
function take({ transformer, encoder, writer }: RowMakers, file: OpenFile, document: RawDocument): void {
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
  // The writer decides when it stores the rows which of the two uids they get.
  if (outcome.claim) file.strays.push(outcome.claim.substitute);
}

/** Returns whether the measurement's own fields contradict its key (FileRecord.strays). */
export function isStray(outcome: Outcome, file: Pick<ArchiveFile, 'probeCC' | 'testName' | 'hour'>): boolean {
  const { uid = '', probeCC, testName } = outcome;
  if (file.probeCC !== undefined && probeCC !== file.probeCC) return true;
  if (normaliseTestName(testName ?? '') !== file.testName) return true;
  // Only a uid that begins with an upload hour can match another hour. The year of a trivial id is 01YY.
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
