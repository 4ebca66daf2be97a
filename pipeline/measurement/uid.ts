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
  const start = typeof startTime === 'string' ? parseStartTime(startTime) : undefined;
  return `01${start === undefined ? '00000000' : dayOf(start)}${hash.digest('hex')}`;
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
