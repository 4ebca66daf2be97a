import { bucketsBetween, countBuckets, type Granularity, nextBucket } from '../../pipeline/bucket.ts';
import { type HistoryQuery, readHistory } from '../../pipeline/ledger/history.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import type { Palette } from '../colour.ts';

/** Outcome of a day: of its bucket, or of all its hours. */
export type DayState = 'done' | 'part' | 'failed' | 'unfinished' | 'none';

export interface GridDay {
  readonly day: string;
  readonly state: DayState;
  /** Buckets of the day in the range, and how many of them are done. */
  readonly buckets: number;
  readonly done: number;
}

/** The sign of each state. The signs differ without colours, too. */
const SIGNS: Readonly<Record<DayState, string>> = { done: '■', part: '▪', failed: 'x', unfinished: '~', none: '·' };
const MEANINGS: Readonly<Record<DayState, string>> = {
  done: 'done',
  part: 'some hours done',
  failed: 'failed',
  unfinished: 'active, or stopped',
  none: 'no run',
};

/** Reads the outcome of each day of a range from the ledger. Throws TableErrors. */
export async function readGrid(
  clickhouse: ClickHouse,
  range: Pick<HistoryQuery, 'filter' | 'filterID' | 'stages'> & {
    readonly startAt: string;
    readonly endAt: string;
    readonly granularity: Granularity;
  },
): Promise<GridDay[]> {
  const { startAt, endAt, granularity, filter, filterID, stages } = range;
  const days = new Map<string, { buckets: number; done: number; failed: number; unfinished: number }>();
  // One query for a year of days, or a quarter of hours.
  const all = [...bucketsBetween(startAt, endAt, granularity)];
  for (let at = 0; at < all.length; at += 2000) {
    const page = all.slice(at, at + 2000);
    const query = { filter, filterID, stages, from: page[0]!, before: nextBucket(page.at(-1)!) };
    const history = await readHistory(clickhouse, query);
    for (const bucket of page) {
      const day = days.get(bucket.slice(0, 10)) ?? { buckets: 0, done: 0, failed: 0, unfinished: 0 };
      const { completed, failed, unfinished } = history.of(bucket);
      day.buckets += 1;
      if (completed) day.done += 1;
      else if (failed) day.failed += 1;
      else if (unfinished) day.unfinished += 1;
      days.set(bucket.slice(0, 10), day);
    }
  }
  return [...days].map(([day, { buckets, done, failed, unfinished }]) => ({
    day,
    buckets,
    done,
    state:
      failed > 0 ? 'failed' : unfinished > 0 ? 'unfinished' : done === buckets ? 'done' : done > 0 ? 'part' : 'none',
  }));
}

/** Lays out days as one line a month: a year fits on one screen of 80 columns. */
export function gridLines(days: readonly GridDay[], palette: Palette): string[] {
  const { good, doubtful, bad, active, faint, strong } = palette;
  const paint: Readonly<Record<DayState, (text: string) => string>> = {
    done: good,
    part: doubtful,
    failed: bad,
    unfinished: active,
    none: faint,
  };
  const months = new Map<string, Map<number, GridDay>>();
  for (const each of days) {
    const month = months.get(each.day.slice(0, 7)) ?? new Map<number, GridDay>();
    month.set(Number(each.day.slice(8)), each);
    months.set(each.day.slice(0, 7), month);
  }
  const numbers = Array.from({ length: 31 }, (_, at) => at + 1);
  const head = numbers.map(day => (day === 1 || day % 5 === 0 ? String(day).padEnd(2) : '  ')).join('');
  const lines = [...months].map(([month, of]) => {
    const cells = numbers.map(day => {
      const each = of.get(day);
      return each ? `${paint[each.state](SIGNS[each.state])} ` : '  ';
    });
    const count = (state: DayState) => [...of.values()].filter(each => each.state === state).length;
    const failed = count('failed');
    return `${month}  ${cells.join('')} ${String(count('done')).padStart(2)}/${of.size}${failed > 0 ? bad(` ${failed} failed`) : ''}`;
  });
  const present = (Object.keys(SIGNS) as DayState[]).filter(state => days.some(each => each.state === state));
  return [
    strong(`         ${head.trimEnd()}`),
    ...lines,
    '',
    present.map(state => `${paint[state](SIGNS[state])} ${MEANINGS[state]}`).join('   '),
  ];
}

/** Describes a range in words, for the title of a grid. */
export function gridTitle(name: string, startAt: string, endAt: string, granularity: Granularity): string {
  return `${name}: ${countBuckets(startAt, endAt, granularity)} ${granularity === 'Day' ? 'days' : 'hours'} of upload from ${startAt} to ${endAt}, not included`;
}
