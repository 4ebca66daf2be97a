import { createHash } from 'node:crypto';
import { parseStartTime } from './time.ts';

const NEWLINE = Buffer.from('\n');

/**
 * Computes the trivial id of a measurement without a uid (archive.md section 8): `01`, the day of its start or zeros, and 15 bytes
 * of SHAKE-128 of the raw line, including its newline if it has one.
 */
export function trivialId(line: Uint8Array, startTime: unknown, newline: boolean): string {
  const hash = createHash('shake128', { outputLength: 15 }).update(line);
  if (newline) hash.update(NEWLINE);
  return idOf(startTime, hash.digest('hex'));
}

/** Returns a uid in the trivial form for a hash of 30 hexadecimal digits. */
export function idOf(startTime: unknown, hash: string): string {
  const start = typeof startTime === 'string' ? parseStartTime(startTime) : undefined;
  return `01${start === undefined ? '00000000' : dayOf(start)}${hash}`;
}

/** `20210614004521.999962_JO_signal_68eb19b439326d60`: upload time, country, test, 16 hexadecimal digits. */
const COLLECTOR_UID = /^((\d{4})(\d{2})(\d{2})\d{2}[0-5]\d[0-5]\d)\.\d{6}_[A-Z]{2}_[a-z0-9]{1,64}_[0-9a-f]{16}$/;
const TRIVIAL_ID = /^01(\d{8})[0-9a-f]{30}$/;
/** Year of the first measurements in OONI's archive. */
const FIRST_YEAR = 2012;

/**
 * Reports whether the `measurement_uid` of a document is valid. It must be a uid of OONI's collector, uploaded at most one day
 * after the bucket, or a trivial id with the day of this start. The verdicts are partitioned by its first six characters, so with
 * any other text a document could create partitions.
 *
 * @param bucket YYYY-MM-DD, with or without an hour
 */
export function isUid(uid: unknown, startTime: unknown, bucket: string): uid is string {
  if (typeof uid !== 'string') return false;
  const trivial = TRIVIAL_ID.exec(uid);
  if (trivial) {
    const start = typeof startTime === 'string' ? parseStartTime(startTime) : undefined;
    return trivial[1] === (start === undefined ? '00000000' : dayOf(start));
  }
  const collector = COLLECTOR_UID.exec(uid);
  if (!collector) return false;
  const [year, month, day] = collector.slice(2).map(Number) as [number, number, number];
  const uploaded = Date.UTC(year, month - 1, day);
  if (year < FIRST_YEAR || new Date(uploaded).getUTCDate() !== day || month < 1 || month > 12) return false;
  const latest = Date.parse(`${bucket.slice(0, 10)}T00:00:00Z`) + DAY;
  // A bucket before the first year means an unknown bucket.
  return uploaded <= latest || latest < Date.UTC(FIRST_YEAR, 0, 1);
}

const DAY = 86_400_000;
/** Consecutive lines are usually of the same day. */
const last = { day: Number.NaN, text: '' };

/** Formats a time as `YYYYMMDD`. */
function dayOf(instant: number): string {
  const day = Math.floor(instant / DAY);
  if (day !== last.day) {
    last.text = new Date(instant).toISOString().slice(0, 10).replaceAll('-', '');
    last.day = day;
  }
  return last.text;
}
