import type { Stats } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isSystemError } from '../system-error.ts';
import {
  type Archive,
  ArchiveMissingError,
  type ArchiveObject,
  ArchiveUnavailableError,
  compareKeys,
  type ListOptions,
  MEASUREMENT_FOLDERS,
  noFolders,
  ObjectChangedError,
  ObjectMissingError,
  type OpenOptions,
} from './archive.ts';

const READ_BYTES = 256 * 1024;

/** Identity of a directory: two directories mounted at the same path differ in it. */
type Root = Pick<Stats, 'dev' | 'ino'>;

/** A directory with objects at the paths of their keys: a mirror of the archive, or a fixture. */
export class DirectoryArchive implements Archive {
  readonly url: string;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
    this.url = pathToFileURL(root).href;
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ArchiveObject> {
    const root = await this.#checkRoot();
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    yield* this.#walk(folder, prefix, options);
    await this.#expectSameRoot(root);
  }

  async *folders(prefix: string): AsyncGenerator<string> {
    const root = await this.#checkRoot();
    for (const entry of await this.#entries(prefix)) if (entry.endsWith('/')) yield prefix + entry;
    await this.#expectSameRoot(root);
  }

  async check(): Promise<void> {
    await this.#checkRoot();
    const folders = await this.#entries('');
    if (!MEASUREMENT_FOLDERS.some(folder => folders.includes(folder))) throw noFolders(this.url);
  }

  async *open(object: ArchiveObject, options: OpenOptions = {}): AsyncGenerator<Buffer> {
    let handle: FileHandle | undefined;
    let length = 0;
    try {
      handle = await open(join(this.#root, object.key));
      const { size, mtimeMs } = await handle.stat();
      if (etagOf(size, mtimeMs) !== object.etag) throw changed(object);
      for (;;) {
        options.signal?.throwIfAborted();
        // Each chunk needs a new buffer, because the reader owns the chunks it received.
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(READ_BYTES), 0, READ_BYTES);
        if (bytesRead === 0) break;
        length += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw new ObjectMissingError(`${object.key} is no longer in ${this.url}`);
      if (codeOf(error)) throw this.#unavailable(object.key, error);
      throw error;
    } finally {
      await handle?.close();
    }
    if (length !== object.size) throw changed(object);
  }

  /** Lists the objects below a folder (a key that ends in a slash, or the empty root), depth first, which is key order. */
  async *#walk(folder: string, prefix: string, options: ListOptions, seen = false): AsyncGenerator<ArchiveObject> {
    const { startAfter = '', signal } = options;
    for (const entry of await this.#entries(folder, seen)) {
      signal?.throwIfAborted();
      const key = folder + entry;
      if (!key.startsWith(prefix) && !prefix.startsWith(key)) continue;
      if (entry.endsWith('/')) {
        if (compareKeys(key, startAfter) >= 0 || startAfter.startsWith(key))
          yield* this.#walk(key, prefix, options, true);
      } else if (key.startsWith(prefix) && compareKeys(key, startAfter) > 0) {
        const found = await this.#stat(key);
        if (found) yield { key, size: found.size, etag: etagOf(found.size, found.mtimeMs) };
      }
    }
  }

  /** Lists the names in a folder. Folders get a slash before sorting, so the names are in the order of the full keys ("a-b" < "a/"). */
  async #entries(folder: string, seen = false): Promise<string[]> {
    try {
      const names: string[] = [];
      for (const entry of await readdir(join(this.#root, folder), { withFileTypes: true })) {
        const link = entry.isSymbolicLink() ? await this.#stat(folder + entry.name) : undefined;
        if (entry.isDirectory() || link?.isDirectory()) names.push(`${entry.name}/`);
        else if (entry.isFile() || link?.isFile()) names.push(entry.name);
      }
      return names.sort(compareKeys);
    } catch (error) {
      // A prefix that is not a folder contains nothing, as on S3. But a folder that existed a moment ago must not count as empty.
      if (!seen && (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR')) return [];
      throw codeOf(error) ? this.#unavailable(folder, error) : error;
    }
  }

  /** Returns undefined for a file that was removed after it was listed. */
  async #stat(key: string) {
    try {
      return await stat(join(this.#root, key));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw codeOf(error) ? this.#unavailable(key, error) : error;
    }
  }

  /**
   * Detects a volume that was unmounted during the listing. The path then shows the directory below, and the listing would end
   * early without an error.
   */
  async #expectSameRoot(before: Root): Promise<void> {
    const now = await this.#stat('');
    if (now?.dev === before.dev && now.ino === before.ino) return;
    throw new ArchiveUnavailableError(`the directory ${this.#root} was replaced while it was listed`);
  }

  /** Without this check a mistyped directory would look like an archive without measurements. */
  async #checkRoot(): Promise<Root> {
    const root = await this.#stat('');
    if (!root)
      throw new ArchiveMissingError(
        `the archive ${this.#root} does not exist; set archive_url to a directory or s3://bucket`,
      );
    if (!root.isDirectory()) throw new ArchiveMissingError(`the archive ${this.#root} is not a directory`);
    return root;
  }

  #unavailable(key: string, cause: unknown): ArchiveUnavailableError {
    return new ArchiveUnavailableError(`cannot read ${key} in ${this.url}: ${(cause as Error).message}`, { cause });
  }
}

function etagOf(size: number, mtimeMs: number): string {
  return `${size}-${mtimeMs}`;
}

function changed(object: ArchiveObject): ObjectChangedError {
  return new ObjectChangedError(
    `${object.key} changed since it was listed (then ${object.size} bytes); list the bucket again`,
  );
}

/** Returns the code of an error of the operating system, undefined for any other error. */
function codeOf(error: unknown): string | undefined {
  return isSystemError(error) ? error.code : undefined;
}
