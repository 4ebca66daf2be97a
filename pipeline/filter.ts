/** The measurements that a run reads: countries and test names; an empty list means all (archive.md section 4). */
export interface Filter {
  /** Two upper-case letters each, sorted, unique. */
  readonly probeCC: readonly string[];
  /** Lower case, without underscores (`webconnectivity`), sorted, unique. */
  readonly testNames: readonly string[];
}

export const EVERYTHING: Filter = { probeCC: [], testNames: [] };

/** Normalises a test name. Case and underscores are ignored: `web_connectivity` and `webconnectivity` are the same test. */
export function normaliseTestName(name: string): string {
  return name.trim().toLowerCase().replaceAll('_', '');
}

/** Normalises a filter that people write, so that equal filters have equal ids. */
export function normaliseFilter(filter: { probeCC?: readonly string[]; testNames?: readonly string[] }): Filter {
  const unique = (values: readonly string[]) => [...new Set(values)].filter(value => value !== '').sort();
  return {
    probeCC: unique((filter.probeCC ?? []).map(cc => cc.trim().toUpperCase())),
    testNames: unique((filter.testNames ?? []).map(normaliseTestName)),
  };
}

/** Returns the filter as a part of ids: `it.us-signal`, `ALLCCS-ALLTNS` (orchestration.md section 5). */
export function filterIDOf(filter: Filter): string {
  const part = (values: readonly string[], all: string) => (values.length === 0 ? all : values.join('.').toLowerCase());
  return `${part(filter.probeCC, 'ALLCCS')}-${part(filter.testNames, 'ALLTNS')}`;
}

/** Returns whether a value passes a list of the filter. An unknown value passes, because only the measurement itself has it. */
export function admits(list: readonly string[], value: string | undefined): boolean {
  return list.length === 0 || value === undefined || list.includes(value);
}
