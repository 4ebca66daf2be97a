/** Clock changes of a time zone within a year. */
export interface ClockChanges {
  /** Minutes by which local time is ahead of UTC: one value where the clock never changes. */
  readonly offsets: readonly number[];
  /** Local times, in minutes since midnight, that do not exist on the day when the clock is set forward. */
  readonly gaps: readonly { readonly from: number; readonly before: number }[];
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const known = new Map<string, ClockChanges>();
/** Clock of the default time zone. For any other, `Intl` loads the languages of ICU, which take 8 MB. */
const UTC: ClockChanges = { offsets: [0], gaps: [] };

/** Returns the changes in the year (UTC) of `now`, in milliseconds since 1970. */
export function clockChanges(timeZone: string, now: number): ClockChanges {
  if (timeZone === 'Etc/UTC') return UTC;
  const year = new Date(now).getUTCFullYear();
  const key = `${year} ${timeZone}`;
  const found = known.get(key) ?? changesOf(timeZone, year);
  known.set(key, found);
  return found;
}

function changesOf(timeZone: string, year: number): ClockChanges {
  const format = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' });
  const offsetAt = (instant: number) => {
    const name = format.formatToParts(instant).find(({ type }) => type === 'timeZoneName')?.value ?? '';
    const [, sign, hours = '0', minutes = '0'] = /([+-])(\d{2}):(\d{2})/.exec(name) ?? [];
    return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
  };
  const offsets = new Set<number>();
  const gaps: { from: number; before: number }[] = [];
  const end = Date.UTC(year + 1, 0, 1);
  for (let day = Date.UTC(year, 0, 1); day < end; day += 24 * HOUR) {
    const [first, last] = [offsetAt(day), offsetAt(day + 24 * HOUR)];
    offsets.add(first).add(last);
    if (first >= last) continue;
    let instant = day;
    while (offsetAt(instant) === first) instant += HOUR / 2;
    const local = Math.floor((instant - day) / MINUTE) + first;
    const from = ((local % 1440) + 1440) % 1440;
    gaps.push({ from, before: from + last - first });
  }
  return { offsets: [...offsets], gaps };
}
