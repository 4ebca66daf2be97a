import type { ArchiveObject } from './archive.ts';

/**
 * Layouts that carry measurements (archive.md section 2): `jsonl` is L1 and L3, `postcan` L2, `tarcan` L4, `jsoncan` and
 * `yamlcan` L5. The can index (L6) is left out of every listing.
 */
export type Layout = 'jsonl' | 'postcan' | 'tarcan' | 'jsoncan' | 'yamlcan';

/** An object of the archive with what its key says. */
export interface ArchiveFile extends ArchiveObject {
  readonly layout: Layout;
  /** Unknown for tar cans, which hold reports of many countries. */
  readonly probeCC?: string;
  /** Lower case, without underscores. */
  readonly testName: string;
  /** Upload hour `YYYY-MM-DDTHH`, UTC; hour 00 where the key carries a day only. */
  readonly hour: string;
}

/** A key that is none of the layouts, and why. */
export interface BadKey {
  readonly key: string;
  readonly reason: string;
}
