/**
 * Why a document cannot be used. `skipped` is true for documents that the pipeline skips by rule (archive.md sections 7 and 11): a
 * post in YAML, a member that is not a post, an unsupported old test. The others count as failed measurements.
 */
export interface DocumentError {
  readonly class: 'DocumentTooLong' | 'BrokenPost' | 'BrokenYaml' | 'UnsupportedPost' | 'UnsupportedYaml';
  readonly message: string;
  readonly skipped: boolean;
}

/** One measurement as stored in the archive. */
export interface RawDocument {
  /** 1-based number: the line of a JSONL object or can (blank lines count), the member of a postcan, or the document of a YAML can. */
  readonly line: number;
  /** JSON text without the newline; empty if there is an `error`. Valid until the reader asks for the next array of documents. */
  readonly bytes: Buffer;
  /** Measurement uid, if the container has it: the name of the tar member, or the trivial id of a YAML document. */
  readonly uid?: string;
  /** True for a last line without a newline. The trivial id of a line includes its newline if it has one. */
  readonly unterminated?: boolean;
  readonly error?: DocumentError;
}

/** Input of the reader of a layout: the stored bytes, the size limit, and a counter for decompressed bytes. */
export interface Reading {
  readonly stored: AsyncIterable<Buffer>;
  readonly maxBytes: number;
  /** Passes bytes through and counts them as decompressed bytes. */
  counted(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer>;
}
