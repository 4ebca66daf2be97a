import type { Archive } from '../archive/archive.ts';
import { type Extent, extentOf, isEmptyBucket } from '../archive/find-buckets.ts';
import { type DayFolders, listBucket } from '../archive/listing.ts';
import type { Filter } from '../filter.ts';
import { extentsOfRuns, type FilesOf, filesOfRuns } from '../ledger/file-extents.ts';
import type { DoneRun } from '../ledger/history.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { isWithin } from './shrink.ts';

interface LookupTools {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
}

interface Filtered {
  readonly filter: Filter;
  readonly filterID: string;
}

/** Compares the current objects of buckets in an archive with the objects that completed runs have read. */
export class ArchiveLookup {
  readonly #tools: LookupTools;
  readonly #filtered: Filtered;
  readonly #folders: DayFolders;
  readonly #extents: (run: FilesOf) => Extent;
  readonly #signal: AbortSignal | undefined;

  private constructor(
    tools: LookupTools,
    filtered: Filtered,
    folders: DayFolders,
    extents: (run: FilesOf) => Extent,
    signal: AbortSignal | undefined,
  ) {
    this.#tools = tools;
    this.#filtered = filtered;
    this.#folders = folders;
    this.#extents = extents;
    this.#signal = signal;
  }

  /** @param done the runs that are passed to `hasMore` later; one query reads their objects from the ledger now */
  static async open(
    tools: LookupTools,
    filtered: Filtered,
    folders: DayFolders,
    done: readonly DoneRun[],
    signal?: AbortSignal,
  ): Promise<ArchiveLookup> {
    return new ArchiveLookup(tools, filtered, folders, await extentsOfRuns(tools.clickhouse, done, signal), signal);
  }

  /** Returns whether the archive has no object of a bucket. */
  isEmpty(bucket: string): Promise<boolean> {
    const options = { folders: this.#folders, ...(this.#signal && { signal: this.#signal }) };
    return isEmptyBucket(this.#tools.archive, bucket, this.#filtered.filter, options);
  }

  /**
   * Returns whether the archive has objects of a bucket that the run did not read, or has them in another size. Objects that no longer exist do not
   * count: their rows stay until the bucket is run for another reason, and `verify` reports them.
   */
  async hasMore(bucket: string, done: DoneRun): Promise<boolean> {
    const same = done.bucket === bucket && done.filterID === this.#filtered.filterID;
    if (same && (await extentOf(this.#list(bucket))).digest === this.#extents(done).digest) return false;
    const key = { bucket, filter: this.#filtered.filter };
    const files = await filesOfRuns(this.#tools.clickhouse, [done], this.#signal);
    const read = new Map(
      files.filter(each => isWithin(key, { ...each, etag: '' })).map(({ key, size }) => [key, size]),
    );
    for await (const { key, size } of this.#list(bucket)) if (read.get(key) !== size) return true;
    return false;
  }

  #list(bucket: string) {
    const options = { folders: this.#folders, ...(this.#signal && { signal: this.#signal }) };
    return listBucket(this.#tools.archive, bucket, this.#filtered.filter, options);
  }
}
