import { createHash } from 'node:crypto';
import { parseStartTime } from './time.ts';

const NEWLINE = Buffer.from('\n');

/**
 * The trivial id of a measurement that has no uid (archive.md section 8): `01`, the day of its start or zeros, and 15 bytes of
 * SHAKE-128 over the raw line, including its newline where it has one.
 */
export function trivialId(line: Uint8Array, startTime: unknown, newline: boolean): string {
  const hash = createHash('shake128', { outputLength: 15 }).update(line);
  if (newline) hash.update(NEWLINE);
  return idOf(startTime, hash.digest('hex'));
}

/** A uid of the trivial form over a hash of 30 hexadecimal digits. */
export function idOf(startTime: unknown, hash: string): string {
  const start = typeof startTime === 'string' ? parseStartTime(startTime) : undefined;
  return `01${start === undefined ? '00000000' : dayOf(start)}${hash}`;
}

/** `20210614004521.999962_JO_signal_68eb19b439326d60`: time of upload, country, test, 16 hexadecimal digits. */
const COLLECTOR_UID = /^((\d{4})(\d{2})(\d{2})\d{2}[0-5]\d[0-5]\d)\.\d{6}_[A-Z]{2}_[a-z0-9]{1,64}_[0-9a-f]{16}$/;
const TRIVIAL_ID = /^01(\d{8})[0-9a-f]{30}$/;
/** Year of the first measurements in OONI's archive. */
const FIRST_YEAR = 2012;

/**
 * Whether a document's `measurement_uid` has the form of a uid: that of OONI's collector, uploaded no later than the day after the bucket, or that
 * of the trivial id of a measurement with this start. The verdicts are partitioned by the first six characters, so any other text
 * would let a document create partitions.
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
  // A bucket before the first year stands for an unknown one.
  return uploaded <= latest || latest < Date.UTC(FIRST_YEAR, 0, 1);
}

const DAY = 86_400_000;
/** Lines that follow one another are of the same day. */
const last = { day: Number.NaN, text: '' };

/** `YYYYMMDD` of an instant. */
function dayOf(instant: number): string {
  const day = Math.floor(instant / DAY);
  if (day !== last.day) {
    last.text = new Date(instant).toISOString().slice(0, 10).replaceAll('-', '');
    last.day = day;
  }
  return last.text;
}
