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
  const day = start === undefined ? '00000000' : new Date(start).toISOString().slice(0, 10).replaceAll('-', '');
  return `01${day}${hash.digest('hex')}`;
}
