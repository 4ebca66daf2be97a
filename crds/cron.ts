/**
 * Cron lines of five fields as in crontab(5): numbers, `*`, ranges, lists, steps, and names of months and days. The check accepts only
 * lines that Temporal's parser accepts with the same meaning, because Temporal fires the schedule.
 */

interface Field {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  /** Names of the values, from `least` up. */
  readonly names?: readonly string[];
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const FIELDS: readonly Field[] = [
  { name: 'minute', least: 0, most: 59 },
  { name: 'hour', least: 0, most: 23 },
  { name: 'day of month', least: 1, most: 31 },
  { name: 'month', least: 1, most: 12, names: MONTHS },
  // Sunday is 0 and 7.
  { name: 'day of week', least: 0, most: 7, names: DAYS },
];
/** Days of each month in a leap year. */
const DAYS_OF_MONTH = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const SHORTHANDS: ReadonlyMap<string, string> = new Map([
  ['@yearly', '0 0 1 1 *'],
  ['@annually', '0 0 1 1 *'],
  ['@monthly', '0 0 1 * *'],
  ['@weekly', '0 0 * * 0'],
  ['@daily', '0 0 * * *'],
  ['@midnight', '0 0 * * *'],
  ['@hourly', '0 * * * *'],
]);

/** Values of each field of a cron line. */
export interface Cron {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  readonly daysOfMonth: ReadonlySet<number>;
  /** 0 is Sunday. */
  readonly daysOfWeek: ReadonlySet<number>;
  /** True when both day fields name days; the line then fires when either matches. */
  readonly eitherDay: boolean;
  /** The same schedule as lines for Temporal, where both day fields must match: a line with two day fields becomes two lines. */
  readonly lines: readonly string[];
}

/** Returns why a cron line is invalid, as a sentence without its subject; undefined when it is valid. */
export function cronProblem(line: string): string | undefined {
  const read = readCron(line);
  return typeof read === 'string' ? read : undefined;
}

/** Parses a cron line that `cronProblem` accepts. Throws a RangeError for another. */
export function parseCron(line: string): Cron {
  const read = readCron(line);
  if (typeof read === 'string') throw new RangeError(`${JSON.stringify(line)} ${read}`);
  return read;
}

function readCron(line: string): Cron | string {
  const texts = line.trim().split(/\s+/);
  const shorthand = SHORTHANDS.get(texts.join(' ').toLowerCase());
  if (shorthand) return `is a shorthand; write its five fields, ${JSON.stringify(shorthand)}`;
  if (texts.length !== FIELDS.length) {
    const zone = /^(CRON_)?TZ=/.test(line.trim()) ? '; write the time zone in timeZone' : '';
    return `must have five fields (minute, hour, day of month, month, day of week), such as "0 2 * * *", and has ${texts.length}${zone}`;
  }
  if (!texts.every(text => /^[0-9A-Za-z*,/-]+$/.test(text)) || /(^|[\s,])L([\s,]|$)|\d[LW]/i.test(line)) {
    return 'may contain numbers, names of months and days, and * , - / only';
  }
  const sets: ReadonlySet<number>[] = [];
  for (const [index, field] of FIELDS.entries()) {
    const values = readField(texts[index] as string, field);
    if (typeof values === 'string') return `is not a cron line: ${values}`;
    sets.push(values);
  }
  const [minutes, hours, daysOfMonth, months, weekdays] = sets as [
    ReadonlySet<number>,
    ReadonlySet<number>,
    ReadonlySet<number>,
    ReadonlySet<number>,
    ReadonlySet<number>,
  ];
  const daysOfWeek = new Set([...weekdays].map(day => day % 7));
  const [minute, hour, day, month, weekday] = texts as [string, string, string, string, string];
  const eitherDay = !day.includes('*') && !weekday.includes('*');
  const exists = [...months].some(one => [...daysOfMonth].some(date => date <= (DAYS_OF_MONTH[one - 1] as number)));
  if (!exists) {
    return `never fires${eitherDay ? ' on its day of month' : ''}: no such day exists${eitherDay ? '; write * for it when each such day of the week is meant' : ''}`;
  }
  // Temporal does not fire 1-7 on Sundays. Days of the week that include 7 are sent as a list of 0 to 6.
  const days = daysOfWeek.size === 7 ? '*' : weekdays.has(7) ? [...daysOfWeek].sort().join(',') : weekday;
  const lines = eitherDay
    ? [
        [minute, hour, day, month, '*'],
        [minute, hour, '*', month, days],
      ]
    : [[minute, hour, day, month, days]];
  return {
    minutes,
    hours,
    months,
    daysOfMonth,
    daysOfWeek,
    eitherDay,
    lines: lines.map(fields => fields.join(' ')),
  };
}

/** Returns the values of a field, or its problem. */
function readField(text: string, field: Field): Set<number> | string {
  const values = new Set<number>();
  const wrong = (what: string) => `${field.name} ${JSON.stringify(text)} ${what}`;
  for (const part of text.split(',')) {
    const [range = '', step, ...more] = part.split('/');
    const [from = '', to, ...others] = range.split('-');
    if (more.length > 0 || others.length > 0 || range === '')
      return wrong('is not a number, a range or a list of them');
    if (step !== undefined && range !== '*' && to === undefined) {
      return wrong(`has a step without a range; write ${from}-${field.most}/${step}, or */${step} for all`);
    }
    const first = range === '*' ? field.least : readValue(from, field);
    const last = range === '*' ? field.most : to === undefined ? first : readValue(to, field);
    if (first === undefined || last === undefined) {
      const names = field.names ? `, or the first three letters of a name` : '';
      return wrong(`must hold values from ${field.least} to ${field.most}${names}`);
    }
    if (first > last) return wrong('has a range that ends before it begins; write it as two, with a comma');
    const by = step === undefined ? 1 : readNumber(step);
    if (by === undefined || by < 1 || by > field.most) {
      return wrong(`must have a step from 1 to ${field.most}`);
    }
    for (let value = first; value <= last; value += by) values.add(value);
  }
  return values;
}

function readValue(text: string, { least, most, names }: Field): number | undefined {
  const index = names?.indexOf(text.toLowerCase()) ?? -1;
  if (index >= 0) return least + index;
  const value = readNumber(text);
  return value !== undefined && value >= least && value <= most ? value : undefined;
}

function readNumber(text: string): number | undefined {
  return /^\d{1,4}$/.test(text) ? Number(text) : undefined;
}
