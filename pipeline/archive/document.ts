/**
 * Why a document cannot be handed on. `skipped` are those the pipeline passes over by rule (archive.md sections 7 and 11): a post
 * in YAML, a member that is no post, an old test without use. The others count as failed measurements.
 */
export interface DocumentError {
  readonly class: 'DocumentTooLong' | 'BrokenPost' | 'BrokenYaml' | 'UnsupportedPost' | 'UnsupportedYaml';
  readonly message: string;
  readonly skipped: boolean;
}

/** One measurement as it lies in the archive. */
export interface RawDocument {
  /** 1-based: the line of a JSONL object or can (blank lines count), the member of a postcan, the document of a YAML can. */
  readonly line: number;
  /** JSON text without the newline; empty when there is an `error`. Good until the next array of documents is asked for. */
  readonly bytes: Buffer;
  /** The measurement uid where the container tells it: name of the tar member, or trivial id of a YAML document. */
  readonly uid?: string;
  /** True for a last line without a newline: the trivial id of a line is made over its newline too, where it has one. */
  readonly unterminated?: boolean;
  readonly error?: DocumentError;
}

/** What the reader of a layout gets: stored bytes, the limit, and a count of decompressed bytes to keep. */
export interface Reading {
  readonly stored: AsyncIterable<Buffer>;
  readonly maxBytes: number;
  /** Passes bytes through and counts them as decompressed. */
  counted(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer>;
}
