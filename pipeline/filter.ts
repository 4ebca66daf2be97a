/** Which measurements a run takes: countries and test names, empty meaning all (archive.md section 4). */
export interface Filter {
  /** Two upper-case letters each, sorted, without repetition. */
  readonly probeCC: readonly string[];
  /** Lower case, without underscores (`webconnectivity`), sorted, without repetition. */
  readonly testNames: readonly string[];
}

export const EVERYTHING: Filter = { probeCC: [], testNames: [] };

/** Test names compare without case and underscores: `web_connectivity` and `webconnectivity` are one test. */
export function normaliseTestName(name: string): string {
  return name.trim().toLowerCase().replaceAll('_', '');
}

/** One normal form for what people write, so that equal filters have equal ids. */
export function normaliseFilter(filter: { probeCC?: readonly string[]; testNames?: readonly string[] }): Filter {
  const unique = (values: readonly string[]) => [...new Set(values)].filter(value => value !== '').sort();
  return {
    probeCC: unique((filter.probeCC ?? []).map(cc => cc.trim().toUpperCase())),
    testNames: unique((filter.testNames ?? []).map(normaliseTestName)),
  };
}

/** The filter as it stands in ids: `it.us-signal`, `ALLCCS-ALLTNS` (orchestration.md section 5). */
export function filterId(filter: Filter): string {
  const part = (values: readonly string[], all: string) => (values.length === 0 ? all : values.join('.').toLowerCase());
  return `${part(filter.probeCC, 'ALLCCS')}-${part(filter.testNames, 'ALLTNS')}`;
}

/** Whether a value passes a list of the filter; an unknown value passes, because only the measurement itself can tell. */
export function admits(list: readonly string[], value: string | undefined): boolean {
  return list.length === 0 || value === undefined || list.includes(value);
}
