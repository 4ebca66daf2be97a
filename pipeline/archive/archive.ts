/**
 * An archive of raw measurements: objects under keys, as in S3 (archive.md sections 1 and 2). Every implementation orders keys by
 * their UTF-8 bytes, as S3 does, because a batch is named by its first and last key.
 */

/** One object of a listing. */
export interface ArchiveObject {
  readonly key: string;
  /** Stored (compressed) bytes. */
  readonly size: number;
  /** Changes when the content changes. Compare it for equality only. */
  readonly etag: string;
}

export interface ListOptions {
  /** Lists only keys after this one. */
  readonly startAfter?: string;
  readonly signal?: AbortSignal;
}

export interface OpenOptions {
  readonly signal?: AbortSignal;
}

export interface Archive {
  /** Location of the archive for logs and error messages, without credentials. */
  readonly url: string;
  /**
   * Lists the objects with a key that starts with `prefix`, in key order. Each page is fetched when the reader needs it. Yields
   * nothing when no key has the prefix. Throws ArchiveMissingError when the archive itself is absent.
   */
  list(prefix: string, options?: ListOptions): AsyncIterable<ArchiveObject>;
  /** Lists the folders directly under `prefix` (which ends in a slash) in key order. Each result is a prefix that ends in a slash. */
  folders(prefix: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<string>;
  /**
   * Reads the stored bytes of one object. A broken transfer resumes at the byte where it broke, so the bytes are complete, in
   * order, and those of the listed version. Otherwise throws ObjectMissingError, ObjectChangedError or ArchiveUnavailableError.
   */
  open(object: ArchiveObject, options?: OpenOptions): AsyncIterable<Buffer>;
  /**
   * Throws ArchiveMissingError when the archive has none of MEASUREMENT_FOLDERS. A volume that is not mounted, a wrong prefix and a
   * policy that lists nothing all look like an empty store, and an empty store must not replace rows.
   */
  check(options?: { readonly signal?: AbortSignal }): Promise<void>;
}

/** Folders that contain measurements (archive.md section 2). */
export const MEASUREMENT_FOLDERS = ['canned/', 'jsonl/', 'raw/'] as const;

/** Creates the error that `Archive.check` throws. */
export function noFolders(url: string): ArchiveMissingError {
  return new ArchiveMissingError(
    `the archive ${url} has none of the folders ${MEASUREMENT_FOLDERS.join(', ')}; check that it is mounted, and that archive_url names the right directory or prefix`,
  );
}

/** Base class of the errors of an archive. */
export abstract class ArchiveError extends Error {}

/** The directory or bucket is absent, contains no folder of measurements, or is not readable. A person must correct a setting or a mount. */
export class ArchiveMissingError extends ArchiveError {
  override name = 'ArchiveMissingError';
}

/** A listed object no longer exists. List again to get the current objects. */
export class ObjectMissingError extends ArchiveError {
  override name = 'ObjectMissingError';
}

/** An object was overwritten after it was listed. List again to get the current objects. */
export class ObjectChangedError extends ArchiveError {
  override name = 'ObjectChangedError';
}

/** The archive did not answer, or its transfers kept breaking, after all retries. A later attempt may succeed. */
export class ArchiveUnavailableError extends ArchiveError {
  override name = 'ArchiveUnavailableError';
}

/** Compares keys by their UTF-8 bytes, as S3 does. (JavaScript compares UTF-16 units, which gives another order beyond the BMP.) */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
