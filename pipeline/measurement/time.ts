const SHAPE = /^(\d{4})-(\d{1,2})-(\d{1,2})\s+(\d{1,2}):(\d{1,2}):(\d{1,2})$/;

/** The time of a measurement is parsed two or three times in a row, and a regular expression costs 2 µs. */
const last = { text: '', instant: undefined as number | undefined };

/**
 * Parses `measurement_start_time`, `YYYY-MM-DD HH:MM:SS` in UTC. Returns milliseconds since 1970, or undefined for another format.
 * Like upstream's parser it accepts one digit for months to seconds, and any blanks in the middle.
 */
export function parseStartTime(text: string): number | undefined {
  if (text !== last.text) {
    last.instant = parse(text);
    last.text = text;
  }
  return last.instant;
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
