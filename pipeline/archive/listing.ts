import type { Filter } from '../filter.ts';
import type { Archive } from './archive.ts';
import type { ArchiveFile, BadKey } from './keys.ts';

export type { ArchiveFile, BadKey } from './keys.ts';

export interface ListingOptions {
  readonly signal?: AbortSignal;
  /** Called for every key that is none of the archive's layouts; such a key is left out and never ends the listing. */
  readonly onBadKey?: (bad: BadKey) => void;
  /** Only files from `first` to `last`, both included: the range of a batch. */
  readonly range?: { readonly first: string; readonly last: string };
}

/** The files of a bucket under a filter, in key order. */
export declare function listBucket(
  archive: Archive,
  bucket: string,
  filter: Filter,
  options?: ListingOptions,
): AsyncGenerator<ArchiveFile>;
