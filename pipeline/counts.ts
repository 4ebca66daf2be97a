import { withCommas } from './with-commas.ts';

/** Counts of the objects and measurements that were read, by outcome: read = transformed + skipped + failed + unsupported. */
export interface Counts {
  files: number;
  /** Compressed bytes. */
  bytes: number;
  /** Number of measurements. */
  read: number;
  transformed: number;
  skipped: number;
  failed: number;
  unsupported: number;
  /** Rows by table. */
  rows: Record<string, number>;
}

/** Returns new counts, all zero. */
export function noCounts(): Counts {
  return { files: 0, bytes: 0, read: 0, transformed: 0, skipped: 0, failed: 0, unsupported: 0, rows: {} };
}

/** Adds `more` to `counts`, in place. */
export function addCounts(counts: Counts, more: Counts): void {
  counts.files += more.files;
  counts.bytes += more.bytes;
  counts.read += more.read;
  counts.transformed += more.transformed;
  counts.skipped += more.skipped;
  counts.failed += more.failed;
  counts.unsupported += more.unsupported;
  for (const [table, rows] of Object.entries(more.rows)) counts.rows[table] = (counts.rows[table] ?? 0) + rows;
}

/** Returns the sum as a new object. */
export function sumCounts(parts: Iterable<Counts>): Counts {
  const sum = noCounts();
  for (const part of parts) addCounts(sum, part);
  return sum;
}

/** Returns whether every measurement that was read has an outcome. */
export function addsUp(counts: Counts): boolean {
  return counts.read === counts.transformed + counts.skipped + counts.failed + counts.unsupported;
}

/** Returns a number with its noun: `1 object`, `2 objects`. */
export function counted(count: number, what: string): string {
  return `${withCommas(count)} ${what}${count === 1 ? '' : 's'}`;
}
