import { boundsOf, granularityOf } from '../bucket.ts';
import { admits, type Filter } from '../filter.ts';
import { type Archive, type ArchiveObject, compareKeys } from './archive.ts';
import { type ArchiveFile, type BadKey, isBadKey, parseKey } from './keys.ts';
import { inParallel } from './parallel.ts';

/** First and last day with cans, and the day from which `jsonl/` is no longer written (constants.json `archive`). */
const FIRST_CAN_DAY = '2012-12-05';
const LAST_CAN_DAY = '2020-10-21';
const JSONL_BEFORE = '2020-10-21';

/** An hour of the archive fills about six pages of 1,000 keys, so listing more prefixes than this costs more than it saves. */
const MAX_PREFIXES_PER_HOUR = 8;
/** Number of concurrent listings. There are thousands of folders under `jsonl/`, with one or two keys each. */
const LISTINGS_AHEAD = 16;

export interface ListingOptions {
  readonly signal?: AbortSignal;
  /** Called for each key that matches no layout. The listing omits the key and continues. */
  readonly onBadKey?: (bad: BadKey) => void;
  /** Range of a batch: only files from `first` to `last`, both included. */
  readonly range?: { readonly first: string; readonly last: string };
  /** Known folders, from an earlier listing. Folders that do not exist are then not listed. */
  readonly folders?: DayFolders;
}

/** Folders of the days that have objects in an archive. Few requests find them, because only the names of folders are listed. */
export class DayFolders {
  readonly #raw: ReadonlySet<string>;
  readonly #canned: ReadonlySet<string>;
  readonly #converted: ReadonlyMap<string, readonly string[]>;

  /**
   * @param raw days with a folder under `raw/`
   * @param canned days with a folder under `canned/`
   * @param converted for each day, the folders `jsonl/<test>/<country>/` that contain this day, in key order
   */
  constructor(
    raw: ReadonlySet<string>,
    canned: ReadonlySet<string>,
    converted: ReadonlyMap<string, readonly string[]>,
  ) {
    this.#raw = raw;
    this.#canned = canned;
    this.#converted = converted;
  }

  hasUploads(day: string): boolean {
    return this.#raw.has(day);
  }

  hasCans(day: string): boolean {
    return this.#canned.has(day);
  }

  conversions(day: string): readonly string[] {
    return this.#converted.get(day) ?? [];
  }

  /** Returns false when the archive has nothing for a bucket of this day. */
  mayHold(day: string): boolean {
    return this.hasUploads(day) || this.hasCans(day) || this.conversions(day).length > 0;
  }
}

/** Days from `from` (included) to `before` (excluded), both YYYY-MM-DD. */
export interface DayRange {
  readonly from: string;
  readonly before: string;
}

/** Finds the folders of some days that can contain objects of the filter. */
export async function findDayFolders(
  archive: Archive,
  filter: Filter,
  { from, before }: DayRange,
  signal?: AbortSignal,
): Promise<DayFolders> {
  const isInRange = (day: string) => day >= from && day < before;
  const raw = new Set<string>();
  for await (const folder of archive.folders('raw/', { signal })) {
    const day = dashed(folder.slice('raw/'.length, -1));
    if (isInRange(day)) raw.add(day);
  }
  const canned = new Set<string>();
  if (from <= LAST_CAN_DAY && before > FIRST_CAN_DAY) {
    for await (const folder of archive.folders('canned/', { signal })) {
      const day = folder.slice('canned/'.length, -1);
      if (isInRange(day)) canned.add(day);
    }
  }
  const converted = new Map<string, string[]>();
  if (from < JSONL_BEFORE) {
    const found = inParallel(conversionFolders(archive, filter, undefined, signal), LISTINGS_AHEAD, async country => {
      const days: string[] = [];
      for await (const folder of archive.folders(country, { signal })) {
        const day = dashed(folder.slice(country.length, -1));
        if (isInRange(day)) days.push(day);
      }
      return { country, days };
    });
    for await (const { country, days } of found) {
      for (const day of days) {
        const countries = converted.get(day);
        if (countries) countries.push(country);
        else converted.set(day, [country]);
      }
    }
  }
  return new DayFolders(raw, canned, converted);
}

/** Converts `20231127` to `2023-11-27`. */
function dashed(digits: string): string {
  return `${digits.slice(0, 4)}-${digits.slice(4, 6)}-${digits.slice(6)}`;
}

/** Lists the folders `jsonl/<test>/<country>/` that the filter allows, in key order. */
async function* conversionFolders(
  archive: Archive,
  filter: Filter,
  range: ListingOptions['range'],
  signal?: AbortSignal,
): AsyncGenerator<string> {
  const tests =
    filter.testNames.length > 0
      ? filter.testNames.map(test => `jsonl/${test}/`)
      : archive.folders('jsonl/', { signal });
  for await (const test of tests) {
    if (!meets(test, range)) continue;
    yield* filter.probeCC.length > 0 ? filter.probeCC.map(cc => `${test}${cc}/`) : archive.folders(test, { signal });
  }
}

/**
 * Lists the files of a bucket that pass the filter, in key order, lazily (archive.md sections 3 to 5). The upload time decides the
 * bucket. A file passes the filter on facts that its key does not have (the country of a tar can); the filter then applies to each
 * measurement.
 *
 * The archive may contain an upload up to three times. It is listed once:
 * - An L1 file is omitted if its L2 twin (same stem) exists, because the twin has the measurement's uid.
 * - An L3 file under `jsonl/` is omitted if its day has tar cans of its test, or report cans of its test and country: it is their
 *   conversion. (A mirror may have the cans of only some countries.)
 * - 2020-10-20 and 21 have both cans and files under `raw/`. Neither is complete, so both are listed. Keys cannot show which
 *   measurements are equal, so ledger/duplicate-uploads.ts compares their rows.
 */
export async function* listBucket(
  archive: Archive,
  bucket: string,
  filter: Filter,
  options: ListingOptions = {},
): AsyncGenerator<ArchiveFile> {
  const { range, signal } = options;
  /** Tests that have cans on this day: `webconnectivity` for a tar can of any country, `webconnectivity IT` for report cans of one country. */
  const canned = new Set<string>();
  for (const source of [cans, conversions, uploads]) {
    const prefixes = source(archive, bucket, filter, options);
    // The cans of the day are listed for any range, because they decide which conversions are read.
    const listed = source === cans ? listEach(archive, prefixes, signal) : listEach(archive, prefixes, signal, range);
    for await (const object of withoutTwins(listed)) {
      const file = parseKey(object);
      if (file === undefined) continue;
      if (isBadKey(file)) {
        if (inRange(file.key, range)) options.onBadKey?.(file);
        continue;
      }
      if (!file.hour.startsWith(bucket)) continue;
      const { testName, probeCC } = file;
      if (source === cans) canned.add(probeCC ? `${testName} ${probeCC}` : testName);
      if (source === conversions && (canned.has(testName) || canned.has(`${testName} ${probeCC}`))) continue;
      if (!inRange(file.key, range)) continue;
      if (admits(filter.probeCC, probeCC) && admits(filter.testNames, testName)) yield file;
    }
  }
}

type Source = (archive: Archive, bucket: string, filter: Filter, options: ListingOptions) => AsyncIterable<string>;

/** Prefixes under `canned/`. The keys have only a day, so they belong to its hour 00. */
const cans: Source = async function* (_archive, bucket, _filter, { folders }) {
  const day = bucket.slice(0, 10);
  if (folders && !folders.hasCans(day)) return;
  if (startsDay(bucket) && day >= FIRST_CAN_DAY && day <= LAST_CAN_DAY) yield `canned/${day}/`;
};

/** Prefixes under `jsonl/`. Test and country come before the day in the key, so folders are listed if the filter does not name both. */
const conversions: Source = async function* (archive, bucket, filter, { range, signal, folders }) {
  const day = bucket.slice(0, 10);
  if (!startsDay(bucket) || day >= JSONL_BEFORE || !meets('jsonl/', range)) return;
  const countries = folders ? folders.conversions(day) : conversionFolders(archive, filter, range, signal);
  for await (const country of countries) yield `${country}${day.replaceAll('-', '')}/`;
};

/** Prefixes under `raw/`: the narrowest that the filter allows, as long as their number does not exceed the pages they save. */
const uploads: Source = async function* (_archive, bucket, filter, { folders }) {
  if (folders && !folders.hasUploads(bucket.slice(0, 10))) return;
  const day = `raw/${bucket.slice(0, 10).replaceAll('-', '')}/`;
  const { probeCC, testNames } = filter;
  const byCountry = probeCC.length > 0 && probeCC.length <= MAX_PREFIXES_PER_HOUR;
  const byTest = byCountry && testNames.length > 0 && probeCC.length * testNames.length <= MAX_PREFIXES_PER_HOUR;
  if (granularityOf(bucket) === 'Day' && !byCountry) {
    yield day;
    return;
  }
  for (const hour of hoursOf(bucket)) {
    if (!byCountry) yield `${day}${hour}/`;
    for (const cc of byCountry ? probeCC : []) {
      if (!byTest) yield `${day}${hour}/${cc}/`;
      for (const test of byTest ? testNames : []) yield `${day}${hour}/${cc}/${test}/`;
    }
  }
};

function startsDay(bucket: string): boolean {
  return boundsOf(bucket).start % 86_400_000 === 0;
}

function hoursOf(bucket: string): string[] {
  if (granularityOf(bucket) === 'Hour') return [bucket.slice(11)];
  return Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, '0'));
}

/** Reports whether a range can contain keys with this prefix. */
function meets(prefix: string, range: ListingOptions['range']): boolean {
  if (!range) return true;
  return (
    compareKeys(prefix, range.last) <= 0 && (compareKeys(prefix, range.first) >= 0 || range.first.startsWith(prefix))
  );
}

function inRange(key: string, range: ListingOptions['range']): boolean {
  return !range || (compareKeys(range.first, key) <= 0 && compareKeys(key, range.last) <= 0);
}

/** Lists the objects under each prefix, in the order of the prefixes, and starts the next listings meanwhile. */
async function* listEach(
  archive: Archive,
  prefixes: AsyncIterable<string>,
  signal: AbortSignal | undefined,
  range?: ListingOptions['range'],
): AsyncGenerator<ArchiveObject> {
  const waiting: { rest: AsyncIterator<ArchiveObject>; first: Promise<IteratorResult<ArchiveObject>> }[] = [];
  async function* next(): AsyncGenerator<ArchiveObject> {
    const { rest, first } = waiting[0]!;
    for (let result = await first; !result.done; result = await rest.next()) {
      if (range && compareKeys(result.value.key, range.last) > 0) break;
      yield result.value;
    }
    await waiting.shift()!.rest.return?.();
  }
  try {
    for await (const prefix of prefixes) {
      if (!meets(prefix, range)) continue;
      // S3 starts after the given key. A key without its last letter sorts before it, so the listing includes it.
      const startAfter = range?.first.startsWith(prefix) ? range.first.slice(0, -1) : undefined;
      const rest = archive.list(prefix, { startAfter, signal })[Symbol.asyncIterator]();
      const first = rest.next();
      first.catch(() => {}); // awaited in its turn
      waiting.push({ rest, first });
      if (waiting.length >= LISTINGS_AHEAD) yield* next();
    }
    while (waiting.length > 0) yield* next();
  } finally {
    await Promise.allSettled(waiting.map(({ rest }) => rest.return?.()));
  }
}

/** Omits `<stem>.jsonl.gz` if `<stem>.tar.gz` follows. Only keys with the same stem can be between the two. */
async function* withoutTwins(objects: AsyncIterable<ArchiveObject>): AsyncGenerator<ArchiveObject> {
  let held: ArchiveObject[] = [];
  let stem = '';
  for await (const object of objects) {
    if (held.length > 0 && object.key === `${stem}tar.gz` && object.size > 0) held.shift();
    else if (held.length > 0 && object.key.startsWith(stem)) {
      held.push(object);
      continue;
    }
    yield* held;
    held = [];
    if (object.key.endsWith('.jsonl.gz')) {
      held = [object];
      stem = object.key.slice(0, -'jsonl.gz'.length);
    } else {
      yield object;
    }
  }
  yield* held;
}
