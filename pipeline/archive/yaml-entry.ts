import { createHash } from 'node:crypto';
import { normaliseDns } from './yaml-dns.ts';
import { normaliseHttp } from './yaml-http.ts';
import { DNS_TESTS, HTTP_TESTS, SCHEMA_KEYS, TEST_NAMES, UNSUPPORTED_TESTS } from './yaml-names.ts';
import { type Entry, isEntry, ReportShapeError, UnsupportedReportError } from './yaml-shape.ts';

/**
 * Converts an entry of an old report, including the header's keys, to data format 0.2.0 (archive.md section 11). `digest` is the
 * hex SHA-1 of header and entry, used to make a missing `id`. Throws UnsupportedReportError and ReportShapeError.
 */
export function normaliseEntry(raw: Entry, digest: string): Entry {
  let entry = plain(raw) as Entry;
  if (isEntry(entry.report)) {
    const { report, ...rest } = entry;
    entry = { ...rest, ...(report as Entry) };
  }
  const written = String(entry.test_name ?? 'invalid');
  const name = Object.hasOwn(TEST_NAMES, written) ? TEST_NAMES[written]! : written.toLowerCase();
  entry.test_name = name;
  entry.id ||= uuid(digest);
  for (const key of SCHEMA_KEYS) entry[key] ??= null;
  if (entry.data_format_version === '0.2.0') return entry.test_keys === null ? nestTestKeys(entry) : entry;

  rebuildTimes(entry);
  entry.data_format_version = '0.2.0';
  if (isEntry(entry.options)) entry.options = entry.options.subargs ?? [];
  entry = nestTestKeys(entry);
  if (UNSUPPORTED_TESTS.includes(name)) {
    throw new UnsupportedReportError(`old reports of ${name} are not supported`);
  }
  if (HTTP_TESTS.includes(name)) normaliseHttp(entry, entry.test_keys as Entry);
  if (DNS_TESTS.includes(name)) normaliseDns(name, entry.test_keys as Entry);
  return entry;
}

/** Converts the header of a report to values that JSON supports, and adds a `report_id` if it is missing. Throws ReportShapeError. */
export function normaliseHeader(raw: Entry): Entry {
  const city = raw.probe_city;
  // Only in the city, bytes that are not UTF-8 are removed, because report ids depend on it.
  const probeCity = city instanceof Uint8Array ? Buffer.from(city).toString('utf8').replaceAll('\ufffd', '') : city;
  const header = plain(probeCity === undefined ? raw : { ...raw, probe_city: probeCity }) as Entry;
  header.report_id ||= reportId(header);
  return header;
}

/**
 * Makes the report id for a header without one: the start time and 50 letters from the SHA-512 of the header's facts. The time is
 * UTC; the first implementation used the machine's time zone. So the same report has the same id everywhere.
 */
function reportId(header: Entry): string {
  const {
    probe_cc = 'ZZ',
    probe_asn = 'AS0',
    test_name = 'invalid',
    software_version = '0.0.0',
    probe_city = 'None',
  } = header;
  const facts = `${probe_cc}${probe_asn}${test_name}${software_version}${probe_city ?? ''}`;
  const hash = createHash('sha512').update(facts).digest();
  const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
  const time = secondsToText(header.start_time ?? 0)
    .replace(/[-:]/g, '')
    .replace(' ', 'T');
  return `${time}Z_${[...hash.subarray(0, 50)].map(byte => letters[byte % letters.length]).join('')}`;
}

/** Converts YAML values that JSON does not support: bytes become strings, times `YYYY-MM-DD HH:MM:SS`, sets lists. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return bytesToText(value);
  if (value instanceof Date) return secondsToText(value.getTime() / 1000);
  if (value instanceof Set) return [...value].map(plain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

/** Decodes UTF-8; each byte that is not UTF-8 becomes `\xhh`. */
function bytesToText(value: Uint8Array): string {
  const bytes = Buffer.from(value);
  const text = bytes.toString('utf8');
  if (!text.includes('\ufffd')) return text;
  let out = '';
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find(size => !bytes.toString('utf8', at, at + size).includes('\ufffd'));
    out += length ? bytes.toString('utf8', at, at + length) : `\\x${bytes[at]!.toString(16).padStart(2, '0')}`;
    at += length ?? 1;
  }
  return out;
}

/** Moves all keys outside the schema into `test_keys`. */
function nestTestKeys(entry: Entry): Entry {
  const isOuter = ([key]: [string, unknown]) => SCHEMA_KEYS.includes(key);
  const pairs = Object.entries(entry);
  const testKeys = isEntry(entry.test_keys) ? entry.test_keys : {};
  return {
    ...Object.fromEntries(pairs.filter(isOuter)),
    test_keys: { ...testKeys, ...Object.fromEntries(pairs.filter(pair => !isOuter(pair))) },
  };
}

/**
 * Rebuilds the times of reports before format 0.2.0: a number in `test_start_time` was the start of the measurement, and
 * `start_time` the start of the test.
 */
function rebuildTimes(entry: Entry): void {
  let test = secondsToText(entry.start_time ?? 0);
  let measurement = test;
  const written = entry.test_start_time;
  if (typeof written === 'number') measurement = secondsToText(written);
  else if (written !== null) {
    test = normaliseTime(written, 'test_start_time');
    measurement = normaliseTime(entry.measurement_start_time, 'measurement_start_time');
  }
  delete entry.start_time;
  entry.test_start_time = test;
  entry.measurement_start_time = measurement;
}

function secondsToText(seconds: unknown): string {
  const instant = new Date(typeof seconds === 'number' ? Math.floor(seconds) * 1000 : Number.NaN);
  if (Number.isNaN(instant.getTime()))
    throw new ReportShapeError(`start_time = ${JSON.stringify(seconds)} is not a time in seconds`);
  return instant.toISOString().slice(0, 19).replace('T', ' ');
}

function normaliseTime(value: unknown, key: string): string {
  const digits = typeof value === 'string' ? /^(\d{4})-(\d\d?)-(\d\d?) (\d\d?):(\d\d?):(\d\d?)$/.exec(value) : null;
  if (!digits) throw new ReportShapeError(`${key} = ${JSON.stringify(value)} is not YYYY-MM-DD HH:MM:SS`);
  const [year, ...rest] = digits.slice(1);
  const [month, day, hour, minute, second] = rest.map(text => text.padStart(2, '0'));
  return `${year}-${month}-${day} ${hour}:${minute}:${second}`;
}

function uuid(digest: string): string {
  return digest.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
