import { BucketError, granularityOf } from '../bucket.ts';
import { normaliseTestName } from '../filter.ts';
import type { ArchiveObject } from './archive.ts';

/**
 * Layouts that carry measurements (archive.md section 2): `jsonl` is L1 and L3, `postcan` L2, `tarcan` L4, `jsoncan` and
 * `yamlcan` L5. The can index (L6) carries none.
 */
export type Layout = 'jsonl' | 'postcan' | 'tarcan' | 'jsoncan' | 'yamlcan';

/** An object of the archive with what its key says. */
export interface ArchiveFile extends ArchiveObject {
  readonly layout: Layout;
  /** Two letters, upper case. Unknown for tar cans, which hold reports of many countries. */
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

/** Endings in the order in which they are tried; `null` is the can index. */
const LAYOUTS: readonly (readonly [ending: string, layout: Layout | null])[] = [
  ['.jsonl.gz', 'jsonl'],
  ['.json.gz', null],
  ['.tar.gz', 'postcan'],
  ['.tar.lz4', 'tarcan'],
  ['.json.lz4', 'jsoncan'],
  ['.yaml.lz4', 'yamlcan'],
];

/** Layout of a key by its ending alone: null for a can index, undefined for anything else. */
export function layoutOf(key: string): Layout | null | undefined {
  return LAYOUTS.find(([ending]) => key.endsWith(ending))?.[1];
}

/**
 * What a key says (archive.md sections 2, 3 and 5), or why it says nothing; undefined for what is left out in silence: the can
 * index, and the empty objects some tools write to stand for folders.
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

/** True for what `parseKey` could not read. */
export function isBadKey(parsed: ArchiveFile | BadKey): parsed is BadKey {
  return 'reason' in parsed;
}

type Facts = Pick<ArchiveFile, 'probeCC' | 'testName' | 'hour'>;

/** L1 to L3: `YYYYMMDD[HH]_CC_TN.<rest>`. Returns the facts, or what is wrong. */
function fromUpload(name: string, folders: readonly string[]): Facts | string {
  const [time = '', cc, test] = name.split('_');
  if (cc === undefined || test === undefined) return 'the file name is not YYYYMMDDHH_CC_testname.<...>';
  const digits = /^(\d{4})(\d{2})(\d{2})(\d{2})?$/.exec(time);
  if (!digits) return `"${time}" at the start of the file name is no upload hour YYYYMMDDHH`;
  const [, year, month, day, nameHour] = digits;
  // Some older names carry the day alone, but lie in the folder of their hour; without it they count as hour 00.
  const folderHour = folders[0] === 'raw' && /^\d{2}$/.test(folders[2] ?? '') ? folders[2] : undefined;
  const hour = `${year}-${month}-${day}T${nameHour ?? folderHour ?? '00'}`;
  if (!isBucket(hour)) return `"${time}" at the start of the file name is no hour of the calendar`;
  if (folders[0] === 'raw' && `${folders[1]}T${folderHour}` !== `${year}${month}${day}T${hour.slice(11)}`) {
    return `the file name says ${hour}, its folder says otherwise`;
  }
  return facts(cc, test.split('.', 1)[0] as string, hour);
}

/** L4: `canned/YYYY-MM-DD/T_N.<counter>.tar.lz4`; L5: `canned/YYYY-MM-DD/<time>-CC-ASn-T_N-<rest>`. */
function fromCan(name: string, folders: readonly string[], layout: Layout): Facts | string {
  const day = folders.at(-1) ?? '';
  // The time within the name of a report is the measurement's; a can was uploaded on the day of its folder.
  const hour = `${day}T00`;
  if (!isBucket(hour)) return `its folder "${day}" is no upload day YYYY-MM-DD`;
  if (layout === 'tarcan') return facts(undefined, name.split('.', 1)[0] as string, hour);
  const fields = name.split('-');
  if (fields.length < 5) return 'the file name is not <time>-CC-ASn-testname-<...>';
  return facts(fields[1], fields[3] as string, hour);
}

function facts(cc: string | undefined, test: string, hour: string): Facts | string {
  const testName = normaliseTestName(test);
  if (testName === '') return 'the file name has no test name';
  if (cc === undefined) return { testName, hour };
  if (!/^[a-z]{2}$/i.test(cc)) return `"${cc}" in the file name is no country of two letters`;
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
