import { hashOf } from '../../operator/hash.ts';
import { type Filter, filterIDOf } from '../../pipeline/filter.ts';

/** Longest part of a name that a filter may take, so that a time still fits into the 63 characters of a label. */
const MAX_LENGTH = 44;

/** Returns the name of a resource for a filter: `it.us-signal`, `all` for everything. A long list becomes a hash. */
export function resourceName(filter: Filter): string {
  if (filter.probeCC.length === 0 && filter.testNames.length === 0) return 'all';
  const name = filterIDOf(filter)
    .toLowerCase()
    .replace(/^allccs-/, 'all-')
    .replace(/-alltns$/, '-all');
  return name.length <= MAX_LENGTH ? name : `filter-${hashOf(filter)}`;
}
