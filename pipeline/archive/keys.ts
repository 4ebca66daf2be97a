import { BucketError, granularityOf } from '../bucket.ts';
import { normaliseTestName } from '../filter.ts';
import type { ArchiveObject } from './archive.ts';

/**
 * Layouts that contain measurements (archive.md section 2): `jsonl` is L1 and L3, `postcan` is L2, `tarcan` is L4, `jsoncan` and
 * `yamlcan` are L5. The can index (L6) contains none.
 */
export type Layout = 'jsonl' | 'postcan' | 'tarcan' | 'jsoncan' | 'yamlcan';

/** An object of the archive and the facts from its key. */
export interface ArchiveFile extends ArchiveObject {
  readonly layout: Layout;
  /** Two upper-case letters. Undefined for tar cans, which contain reports of many countries. */
  readonly probeCC?: string;
  /** Lower case, without underscores. */
  readonly testName: string;
  /** Upload hour `YYYY-MM-DDTHH` in UTC; hour 00 if the key has only a day. */
  readonly hour: string;
}

/** A key that matches no layout, and the reason. */
export interface BadKey {
  readonly key: string;
  readonly reason: string;
}

/** Endings of keys, in the order in which they are compared. `null` is the can index. */
const LAYOUTS: readonly (readonly [ending: string, layout: Layout | null])[] = [
  ['.jsonl.gz', 'jsonl'],
  ['.json.gz', null],
  ['.tar.gz', 'postcan'],
  ['.tar.lz4', 'tarcan'],
  ['.json.lz4', 'jsoncan'],
  ['.yaml.lz4', 'yamlcan'],
];

/** Returns the layout of a key from its ending alone: null for a can index, undefined for anything else. */
export function layoutOf(key: string): Layout | null | undefined {
  return LAYOUTS.find(([ending]) => key.endsWith(ending))?.[1];
}

/**
 * Parses a key (archive.md sections 2, 3 and 5). Returns a BadKey if the key is not valid. Returns undefined for keys that are
 * ignored: the can index, and the empty objects that some tools write as folders.
 */
export function parseKey(object: ArchiveObject): ArchiveFile | BadKey | undefined {
  const { key, size, etag } = object;
  if (key.endsWith('/')) return undefined;
  const layout = layoutOf(key);
  if (layout === null) return undefined;
  if (layout === undefined) {
    return { key, reason: `ends in none of ${LAYOUTS.map(([ending]) => ending).join(', ')}` };
  }
  const folders = key.split('/');
  const name = folders.pop() as string;
  const facts = layout === 'jsonl' || layout === 'postcan' ? fromUpload(name, folders) : fromCan(name, folders, layout);
  return typeof facts === 'string' ? { key, reason: facts } : { key, size, etag, layout, ...facts };
}

/** Reports whether `parseKey` rejected the key. */
export function isBadKey(parsed: ArchiveFile | BadKey): parsed is BadKey {
  return 'reason' in parsed;
}

type Facts = Pick<ArchiveFile, 'probeCC' | 'testName' | 'hour'>;

/** Parses keys of L1 to L3: `YYYYMMDD[HH]_CC_TN.<rest>`. Returns the facts, or the reason why the key is not valid. */
function fromUpload(name: string, folders: readonly string[]): Facts | string {
  const [time = '', cc, test] = name.split('_');
  if (cc === undefined || test === undefined) return 'the file name is not YYYYMMDDHH_CC_testname.<...>';
  const digits = /^(\d{4})(\d{2})(\d{2})(\d{2})?$/.exec(time);
  if (!digits) return `"${time}" at the start of the file name is not an upload hour YYYYMMDDHH`;
  const [, year, month, day, nameHour] = digits;
  // Some older names have only the day, but are in the folder of their hour. Without that folder they count as hour 00.
  const folderHour = folders[0] === 'raw' && /^\d{2}$/.test(folders[2] ?? '') ? folders[2] : undefined;
  const hour = `${year}-${month}-${day}T${nameHour ?? folderHour ?? '00'}`;
  if (!isBucket(hour)) return `"${time}" at the start of the file name is not an hour of the calendar`;
  if (folders[0] === 'raw' && `${folders[1]}T${folderHour}` !== `${year}${month}${day}T${hour.slice(11)}`) {
    return `the file name says ${hour}, its folder says otherwise`;
  }
  return facts(cc, test.split('.', 1)[0] as string, hour);
}

/** Parses keys of L4, `canned/YYYY-MM-DD/T_N.<counter>.tar.lz4`, and L5, `canned/YYYY-MM-DD/<time>-CC-ASn-T_N-<rest>`. */
function fromCan(name: string, folders: readonly string[], layout: Layout): Facts | string {
  const day = folders.at(-1) ?? '';
  // The time in the name of a report is that of the measurement. The upload day of a can is its folder.
  const hour = `${day}T00`;
  if (!isBucket(hour)) return `its folder "${day}" is not an upload day YYYY-MM-DD`;
  if (layout === 'tarcan') return facts(undefined, name.split('.', 1)[0] as string, hour);
  const fields = name.split('-');
  if (fields.length < 5) return 'the file name is not <time>-CC-ASn-testname-<...>';
  return facts(fields[1], fields[3] as string, hour);
}

function facts(cc: string | undefined, test: string, hour: string): Facts | string {
  const testName = normaliseTestName(test);
  if (testName === '') return 'the file name has no test name';
  if (cc === undefined) return { testName, hour };
  if (!/^[a-z]{2}$/i.test(cc)) return `"${cc}" in the file name is not a country of two letters`;
  return { probeCC: cc.toUpperCase(), testName, hour };
}

function isBucket(text: string): boolean {
  try {
    granularityOf(text);
    return true;
  } catch (error) {
    if (error instanceof BucketError) return false;
    throw error;
  }
}
