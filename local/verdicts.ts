import Table from 'cli-table3';
import { printableLine } from '../cli/printable.ts';

/** Queries ClickHouse. Returns one object per row. */
export type Select = <T>(query: string) => Promise<T[]>;

/** Measurements in one country in which one rule judged one host blocked. */
export interface Blocked {
  /** Host to which the block happened; the name of the test where the verdict names none. */
  readonly domain: string;
  readonly country: string;
  readonly layer: string;
  readonly rule: string;
  readonly measurements: number;
  /** First and last day of measurement, YYYY-MM-DD. */
  readonly first: string;
  readonly last: string;
  /** Highest grade of blocking among them: above 0.5, at most 1. */
  readonly grade: number;
}

/** Summary of the verdicts. */
export interface Verdicts {
  /** Judged measurements, and how many of them were judged blocked. */
  readonly judged: number;
  readonly blocked: number;
  /** Total number of lines, and the first lines, those with the most measurements. */
  readonly lines: number;
  readonly top: readonly Blocked[];
}

export const NO_VERDICTS: Verdicts = { judged: 0, blocked: 0, lines: 0, top: [] };

/** Maximum number of lines in the table. */
const SHOWN = 15;

/** Reads the measurements judged blocked, grouped, the most frequent first, from the view `measurement_verdicts`. The view must exist. */
export async function readVerdicts(select: Select): Promise<Verdicts> {
  const line = "if(blamed_host = '', test_name, blamed_host), probe_cc, blocked_layer, blocked_rule_id";
  const [all] = await select<{ judged: string; blocked: string; lines: string }>(`
    SELECT count() AS judged, countIf(outcome = 'blocked') AS blocked, uniqExactIf((${line}), outcome = 'blocked') AS lines
    FROM measurement_verdicts`);
  const top = await select<Blocked & { measurements: string }>(`
    SELECT
      if(v.blamed_host = '', v.test_name, v.blamed_host) AS domain,
      probe_cc AS country,
      blocked_layer AS layer,
      blocked_rule_id AS rule,
      count() AS measurements,
      toString(min(measurement_day)) AS first,
      toString(max(measurement_day)) AS last,
      round(max(toFloat64(blocked)), 2) AS grade
    FROM measurement_verdicts AS v
    WHERE outcome = 'blocked'
    GROUP BY domain, country, layer, rule
    ORDER BY measurements DESC, domain, country, layer, rule
    LIMIT ${SHOWN}`);
  return {
    judged: Number(all?.judged ?? 0),
    blocked: Number(all?.blocked ?? 0),
    lines: Number(all?.lines ?? 0),
    top: top.map(row => ({ ...row, measurements: Number(row.measurements) })),
  };
}

/**
 * Formats the verdicts as text: a sentence, and a table of the blocked domains if there are any. On a terminal that is too narrow for all
 * columns of the table, it leaves out days, then layers.
 */
export function showVerdicts({ judged, blocked, lines, top }: Verdicts, width = Number.POSITIVE_INFINITY): string {
  if (judged === 0) return 'No verdicts: no measurement has been judged (Backfills with the stage Analysis do that).';
  if (blocked === 0) return `Blocked domains: none. ${number(judged)} measurements were judged.`;
  const tables = [[], ['Days'], ['Days', 'Layer']].map(omitted => tableOf(top, omitted));
  const table = tables.find(rows => rows.every(row => row.length <= width)) ?? tables.at(-1)!;
  const shown = top.reduce((sum, { measurements }) => sum + measurements, 0);
  const more = `  and ${number(lines - top.length)} more lines of ${number(blocked - shown)} measurements`;
  return [
    `Blocked domains: ${number(blocked)} of ${number(judged)} measurements judged`,
    ...table,
    ...(lines > top.length ? [more] : []),
    '  Ask for more: SELECT * FROM blocking_by_domain',
  ].join('\n');
}

const COLUMNS: readonly (readonly [name: string, align: 'left' | 'right', text: (row: Blocked) => string])[] = [
  ['Domain', 'left', row => row.domain],
  ['Country', 'left', row => row.country],
  ['Layer', 'left', row => row.layer],
  ['Rule', 'left', row => row.rule],
  ['Measurements', 'right', row => number(row.measurements)],
  ['Days', 'left', ({ first, last }) => (first === last ? first : `${first} to ${last}`)],
  ['Grade', 'right', row => row.grade.toFixed(2)],
];

/** Returns the lines of the table without some of its columns. */
function tableOf(rows: readonly Blocked[], omitted: readonly string[]): string[] {
  const columns = COLUMNS.filter(([name]) => !omitted.includes(name));
  const table = new Table({
    head: columns.map(([name]) => name),
    colAligns: columns.map(([, align]) => align),
    chars: BARE,
    style: { head: [], border: [], 'padding-left': 2, 'padding-right': 0 },
  });
  for (const row of rows) table.push(columns.map(([, , text]) => printableLine(text(row))));
  return table
    .toString()
    .split('\n')
    .map(line => line.trimEnd());
}

function number(value: number): string {
  return value.toLocaleString('en');
}

/** A table style without lines, like the other tables of the output. */
const BARE = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
  ].map(name => [name, '']),
);
