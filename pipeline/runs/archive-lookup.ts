import type { Archive } from '../archive/archive.ts';
import { type Extent, extentOf, isEmptyBucket } from '../archive/find-buckets.ts';
import { type DayFolders, listBucket } from '../archive/listing.ts';
import type { Filter } from '../filter.ts';
import { extentsOfRuns, type FilesOf, filesOfRuns } from '../ledger/file-extents.ts';
import type { DoneRun } from '../ledger/history.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { isWithin } from './shrink.ts';

interface LookupContext {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
  readonly filter: Filter;
  readonly filterID: string;
  /** Folders of the days that buckets are looked up for. */
  readonly folders: DayFolders;
  readonly signal?: AbortSignal | undefined;
}

/** Compares the current objects of buckets in an archive with the objects that completed runs have read. */
export class ArchiveLookup {
  readonly #context: LookupContext;
  readonly #extents: (run: FilesOf) => Extent;

  private constructor(context: LookupContext, extents: (run: FilesOf) => Extent) {
    this.#context = context;
    this.#extents = extents;
  }

  /** @param done the runs that are passed to `hasMore` later; one query reads their objects from the ledger now */
  static async open(context: LookupContext, done: readonly DoneRun[]): Promise<ArchiveLookup> {
    return new ArchiveLookup(context, await extentsOfRuns(context.clickhouse, done, context.signal));
  }

  /** Returns whether the archive has no object of a bucket. */
  isEmpty(bucket: string): Promise<boolean> {
    const { archive, filter } = this.#context;
    return isEmptyBucket(archive, bucket, filter, this.#listing());
  }

  /**
   * Returns whether the archive has objects of a bucket that the run did not read, or has them in another size. Objects that no longer
   * exist do not count: their rows stay until the bucket is run for another reason, and `verify` reports them.
   */
  async hasMore(bucket: string, done: DoneRun): Promise<boolean> {
    const { clickhouse, filter, filterID, signal } = this.#context;
    const same = done.bucket === bucket && done.filterID === filterID;
    if (same && (await extentOf(this.#list(bucket))).digest === this.#extents(done).digest) return false;
    const key = { bucket, filter };
    const files = await filesOfRuns(clickhouse, [done], signal);
    const read = new Map(
      files.filter(each => isWithin(key, { ...each, etag: '' })).map(({ key, size }) => [key, size]),
    );
    for await (const { key, size } of this.#list(bucket)) if (read.get(key) !== size) return true;
    return false;
  }

  #list(bucket: string) {
    const { archive, filter } = this.#context;
    return listBucket(archive, bucket, filter, this.#listing());
  }

  #listing() {
    const { folders, signal } = this.#context;
    return { folders, ...(signal && { signal }) };
  }
}
