/**
 * An archive of raw measurements: a store of objects under keys, as S3 has it (archive.md sections 1 and 2). Keys are
 * compared by their UTF-8 bytes, the order in which S3 lists them; every implementation keeps to it, because a batch is
 * named by its first and last key.
 */

/** One object as the listing shows it. */
export interface ArchiveObject {
  readonly key: string;
  /** Stored (compressed) bytes. */
  readonly size: number;
  /** Changes whenever the content changes; compared for equality only. */
  readonly etag: string;
}

export interface ListOptions {
  /** List keys behind this one only. */
  readonly startAfter?: string;
  readonly signal?: AbortSignal;
}

export interface OpenOptions {
  readonly signal?: AbortSignal;
}

export interface Archive {
  /** Where the archive lies, for logs and error messages; carries no credentials. */
  readonly url: string;
  /**
   * Objects whose key starts with `prefix`, in key order, page by page: nothing is fetched before it is asked for. A prefix
   * under which nothing lies yields nothing. Throws ArchiveMissingError when the archive itself is not there.
   */
  list(prefix: string, options?: ListOptions): AsyncIterable<ArchiveObject>;
  /** Folders directly under `prefix` (which ends in a slash), in key order, each as a prefix ending in a slash. */
  folders(prefix: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<string>;
  /**
   * The stored bytes of one object. A broken transfer is resumed where it broke, so the bytes are those of the version that
   * was listed, whole and in order, or it throws: ObjectMissingError, ObjectChangedError, ArchiveUnavailableError.
   */
  open(object: ArchiveObject, options?: OpenOptions): AsyncIterable<Buffer>;
  /**
   * Throws ArchiveMissingError when the archive holds none of the folders that measurements lie in. A volume that is not mounted,
   * a wrong prefix and a policy that lists nothing all look like an empty store, and an empty store must not replace rows.
   */
  check(options?: { readonly signal?: AbortSignal }): Promise<void>;
}

/** Folders with measurements (archive.md section 2). */
export const MEASUREMENT_FOLDERS = ['canned/', 'jsonl/', 'raw/'] as const;

/** The error of `Archive.check`. */
export function noFolders(url: string): ArchiveMissingError {
  return new ArchiveMissingError(
    `the archive ${url} has none of the folders ${MEASUREMENT_FOLDERS.join(', ')}; check that it is mounted, and that archive_url names the right directory or prefix`,
  );
}

/** What can go wrong with an archive. */
export abstract class ArchiveError extends Error {}

/** The directory or bucket is absent, holds no folder of measurements, or may not be read: someone has to correct a setting or a mount. */
export class ArchiveMissingError extends ArchiveError {
  override name = 'ArchiveMissingError';
}

/** An object that was listed is gone. A fresh listing tells what is there now. */
export class ObjectMissingError extends ArchiveError {
  override name = 'ObjectMissingError';
}

/** An object is not the one that was listed: it was overwritten in between. A fresh listing tells what is there now. */
export class ObjectChangedError extends ArchiveError {
  override name = 'ObjectChangedError';
}

/** The archive did not answer, or kept breaking off, after all retries: later it may. */
export class ArchiveUnavailableError extends ArchiveError {
  override name = 'ArchiveUnavailableError';
}

/** Order of keys as S3 lists them: by UTF-8 bytes. (JavaScript's own order is by UTF-16 units, which differs beyond the BMP.) */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
