const SHAPE = /^(\d{4})-(\d{1,2})-(\d{1,2})\s+(\d{1,2}):(\d{1,2}):(\d{1,2})$/;

/** The time of a measurement is parsed two or three times in a row. */
const last = { text: '', instant: undefined as number | undefined };

/**
 * Parses `measurement_start_time`, `YYYY-MM-DD HH:MM:SS` in UTC. Returns milliseconds since 1970, or undefined for another format.
 * Like upstream's parser it accepts one digit for months to seconds, and any blanks in the middle.
 */
export function parseStartTime(text: string): number | undefined {
  if (text !== last.text) {
    last.instant = parseCommon(text) ?? parse(text);
    last.text = text;
  }
  return last.instant;
}

/**
 * Parses the form that nearly all probes write, with two digits for months to seconds and one blank. Returns undefined for other forms, and for
 * days that not every month has. A regular expression costs 2 µs.
 */
function parseCommon(text: string): number | undefined {
  if (text.length !== 19 || text[4] !== '-' || text[7] !== '-' || text[10] !== ' ') return undefined;
  if (text[13] !== ':' || text[16] !== ':') return undefined;
  const year = 100 * twoDigits(text, 0) + twoDigits(text, 2);
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  const hour = twoDigits(text, 11);
  const minute = twoDigits(text, 14);
  const second = twoDigits(text, 17);
  const isDate = year >= 100 && month >= 1 && month <= 12 && day >= 1 && day <= 28;
  if (!isDate || !(hour <= 23 && minute <= 59 && second <= 59)) return undefined;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/** Returns the number that two digits make, or NaN if they are not digits. */
function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 0x30;
  const ones = text.charCodeAt(at + 1) - 0x30;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? 10 * tens + ones : Number.NaN;
}

function parse(text: string): number | undefined {
  const match = SHAPE.exec(text);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (year < 1 || hour > 23 || minute > 59 || second > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date.getTime() : undefined;
}
