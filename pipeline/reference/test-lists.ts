import { readCsv } from './csv.ts';
import type { Limits, Parsed, Problem } from './dataset.ts';

/** A row of `citizenlab`. */
export interface TestListEntry {
  readonly domain: string;
  readonly url: string;
  readonly cc: string;
  readonly category_code: string;
}

export const TEST_LIST_LIMITS: Limits = { above: 20_000, below: 1_000_000 };

/** Optional scheme; a domain with a dot or an IPv4 address; optional port; optional path (analysis.md section 12). */
const URL_SHAPE =
  /^(?:https?:\/\/)?((?:(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)+(?:[a-z]{2,6}|[a-z0-9-]{2,})\.?)|\d{1,3}(?:\.\d{1,3}){3})(?::\d+)?(?:[/?#]\S*)?$/i;

/** Returns the country of a list from its file name: `it.csv` is IT, `global.csv` is ZZ. Returns undefined for any other name. */
function countryOf(file: string): string | undefined {
  const name = file.replace(/^.*\//, '').replace(/\.csv$/, '');
  if (name === 'global') return 'ZZ';
  return /^[a-z]{2}$/i.test(name) ? name.toUpperCase() : undefined;
}

/**
 * Reads the test lists of citizenlab/test-lists from file names (`lists/it.csv`) and contents. Ignores files with other names.
 * People write the lists by hand, so a row that cannot be parsed, has no category or has no URL is reported as a problem and
 * omitted. The domain keeps its case. Throws ReferenceDataError for a list without the required columns.
 */
export function readTestLists(files: Iterable<readonly [name: string, bytes: Uint8Array]>): Parsed<TestListEntry> {
  const rows: TestListEntry[] = [];
  const problems: Problem[] = [];
  const seen = new Set<string>();
  for (const [name, bytes] of files) {
    const cc = countryOf(name);
    if (!cc || !name.endsWith('.csv')) continue;
    const file = name.replace(/^.*\//, '');
    const list = readCsv(file, bytes, ['url', 'category_code'], { handMade: true });
    problems.push(...list.problems);
    for (const { line, values } of list.records) {
      const url = values.url as string;
      // biome-ignore lint/suspicious/noControlCharactersInRegex: no URL contains them
      const domain = /[\x00-\x1f\x7f\\]/.test(url) ? undefined : URL_SHAPE.exec(url)?.[1];
      if (!domain) {
        problems.push({ where: `${file} line ${line}`, what: `"${url.slice(0, 100)}" is not a URL` });
        continue;
      }
      if (!values.category_code) {
        problems.push({ where: `${file} line ${line}`, what: `${url.slice(0, 100)} has no category` });
        continue;
      }
      // The table stores an entry once. The rows must not repeat it either, because their number is compared with that of the
      // table.
      const entry = { domain, url, cc, category_code: values.category_code as string };
      const key = JSON.stringify(entry);
      if (seen.has(key)) continue;
      seen.add(key);
      rows.push(entry);
    }
  }
  return { rows, problems };
}
