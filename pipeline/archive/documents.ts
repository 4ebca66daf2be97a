import type { Archive } from './archive.ts';
import type { ArchiveFile } from './keys.ts';

/**
 * Why a document cannot be handed on. `skipped` are those the pipeline passes over by rule (a post in YAML, a member that is no
 * post); the others count as failed measurements.
 */
export interface DocumentError {
  readonly class: 'DocumentTooLong' | 'BrokenPost' | 'BrokenYaml' | 'UnsupportedPost' | 'UnsupportedYaml' | 'NoPost';
  readonly message: string;
  readonly skipped: boolean;
}

/** One measurement as it lies in the archive. */
export interface RawDocument {
  /** 1-based: the line of a JSONL object (blank lines count), the member of a postcan, the document within a can. */
  readonly line: number;
  /** JSON text without the newline; empty when there is an `error`. The bytes stay valid: nothing writes to them again. */
  readonly bytes: Buffer;
  /** The measurement uid where the container tells it: name of the tar member, or trivial id of a YAML document. */
  readonly uid?: string;
  /** True for a last line without a newline: the trivial id of a line is made over its newline too, where it has one. */
  readonly unterminated?: boolean;
  readonly error?: DocumentError;
}

/** What became of an object once it is read to its end. */
export interface FileEnd {
  /** Documents yielded, those with an error included. */
  readonly documents: number;
  /** Stored bytes read. */
  readonly compressedBytes: number;
  /** Decompressed bytes. */
  readonly bytes: number;
  /** Set when the object ends early or is damaged: what could be read was yielded, and this says where and how it broke. */
  readonly truncated?: string;
}

export interface ReadOptions {
  /** A document longer than this is read past without being held, and yielded as an error. */
  readonly maxMeasurementBytes: number;
  readonly signal?: AbortSignal;
}

/**
 * The measurements of one object, in order, as arrays (all whole documents of a decompressed chunk, never empty), lazily and
 * with back-pressure. Damage inside the object never throws: see RawDocument.error and FileEnd.truncated. Throws
 * the archive's errors.
 */
export declare function readDocuments(
  archive: Archive,
  file: Pick<ArchiveFile, 'key' | 'size' | 'etag' | 'layout'>,
  options: ReadOptions,
): AsyncGenerator<RawDocument[], FileEnd>;
