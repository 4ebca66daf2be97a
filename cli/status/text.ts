import { counted } from '../../pipeline/counts.ts';
import type { Palette } from '../colour.ts';
import { printableLine } from '../printable.ts';
import { SERVER_REMEDIES } from '../remedies.ts';
import { type Column, layOut } from '../table.ts';
import { wrap } from '../wrap.ts';
import type { BackfillRow, Known, LedgerView, ScheduleView, StatusView, TemporalView } from './observe.ts';

const unknown = 'unknown';
const n = (value: number) => value.toLocaleString('en');

/** Returns a time span in one or two units: `3m`, `5h 10m`, `12d`. */
export function span(seconds: number): string {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h ${minutes % 60}m`;
  return `${Math.floor(hours / 24)}d`;
}

/** Returns the lines of the state for people, `width` characters wide at most. */
export function statusLines(view: StatusView, palette: Palette, width: number): string[] {
  const { temporal, clickhouse } = view;
  const options = { palette, width: width - 2 };
  return [
    `${palette.strong(`Installation ${view.installation}`)}  ${palette.faint(`${view.at.slice(0, 19).replace('T', ' ')} UTC`)}`,
    '',
    ...serverLines('Temporal', temporal.address, temporal, { palette, width }),
    ...(temporal.known ? workLines(temporal.value, Date.parse(view.at), options) : []),
    '',
    ...serverLines('ClickHouse', clickhouse.name, clickhouse, { palette, width }),
    ...(clickhouse.known ? ledgerLines(clickhouse.value, options) : []),
  ];
}

/** Returns the lines for a server: reached, or not known, with the reason and the remedy. */
function serverLines(
  name: keyof typeof SERVER_REMEDIES,
  address: string,
  state: Known<unknown>,
  { palette, width }: LayOut,
): string[] {
  const head = `${palette.strong(name.padEnd(11))} ${printableLine(address)}`;
  if (state.known) return [`${head}  ${palette.good('answers')}`];
  const room = Math.max(20, width - 12);
  const reason = printableLine(state.reason);
  return [
    `${head}  ${palette.bad('unknown')}`,
    ...[reason, `-> ${SERVER_REMEDIES[name]}`].flatMap(text => wrap(text, room)).map(line => `            ${line}`),
  ];
}

type LayOut = { readonly palette: Palette; readonly width: number };

function workLines(view: TemporalView, now: number, options: LayOut): string[] {
  const { queues, workers, runs } = view;
  const backlog = queues.map(({ tasks, backlog, waiting = 0 }) =>
    backlog === undefined
      ? `${unknown} ${tasks.toLowerCase()}`
      : `${n(backlog)} ${tasks.toLowerCase()}${backlog > 0 ? ` (${span(waiting)})` : ''}`,
  );
  return [
    `  ${workersText(workers, options.palette)}; backlog: ${backlog.join(', ')}; ${counted(runs.count, 'active run')}`,
    ...section('Schedules', SCHEDULES, view.schedules, options),
    ...section('Backfills', backfillColumns(now), view.backfills, options),
    ...waitLines(view, options),
  ];
}

/** Returns the lines with the causes that block schedules and backfills. Those with the same cause share a line. */
function waitLines({ schedules, backfills }: TemporalView, { palette, width }: LayOut): string[] {
  const waiting = new Map<string, string[]>();
  const rows = [
    ...schedules.map(({ filter, blockedBy }) => ({ name: filter, blockedBy })),
    ...backfills.map(row => ({ name: nameOf(row), blockedBy: row.blockedBy })),
  ];
  for (const { name, blockedBy } of rows) {
    if (!blockedBy) continue;
    const { reason, message, bucket } = blockedBy;
    const cause = `${reason}: ${message}`;
    waiting.set(cause, [...(waiting.get(cause) ?? []), bucket ? `${name} for ${bucket}` : name]);
  }
  if (waiting.size === 0) return [];
  const texts = [...waiting].map(([cause, [first, ...others]]) =>
    printableLine(`${first}${others.length > 0 ? ` and ${others.length} more` : ''}: ${cause}`),
  );
  return [
    '',
    palette.strong('Blocked'),
    ...texts.flatMap(text =>
      wrap(text, width - 4).map((line, at) => `${at === 0 ? '  ' : '    '}${palette.bad(line)}`),
    ),
  ];
}

/** Returns the name of a backfill, without the installation. */
function nameOf({ id }: BackfillRow): string {
  return id.split('/').slice(2).join('/');
}

function workersText(workers: TemporalView['workers'], { bad, doubtful }: Palette): string {
  if (!workers.known) return doubtful('workers unknown');
  const { processes, busy } = workers.value;
  if (processes === 0) return bad('no worker');
  return `${counted(processes, 'worker')}, ${n(busy)} ${busy === 1 ? 'activity' : 'activities'} running`;
}

function section<Row>(title: string, columns: readonly Column<Row>[], rows: readonly Row[], options: LayOut): string[] {
  if (rows.length === 0) return ['', `${options.palette.strong(title)}  none`];
  return ['', options.palette.strong(title), ...layOut(columns, rows, options).map(line => `  ${line}`)];
}

const SCHEDULES: readonly Column<ScheduleView>[] = [
  { title: 'FILTER', text: row => row.filter, flexible: true },
  { title: 'LAST', text: row => row.last ?? 'none yet' },
  {
    title: 'NEXT',
    text: row =>
      row.paused
        ? `paused${row.note ? `: ${row.note.slice(0, 20)}` : ''}`
        : row.next
          ? `${row.next.bucket} at ${row.next.at.slice(0, 16).replace('T', ' ')}`
          : '',
    paint: (row, { doubtful }) => (row.paused ? doubtful : text => text),
  },
  {
    title: 'LATE',
    text: row => (row.late.known ? (row.late.value === 0 ? 'no' : span(row.late.value)) : unknown),
    paint: (row, { good, doubtful }) => (row.late.known && row.late.value === 0 ? good : doubtful),
  },
  {
    title: 'MISSING',
    text: row =>
      row.missing.known
        ? row.missing.value.count === 0
          ? '0'
          : `${row.missing.value.count}: ${row.missing.value.buckets[0]}`
        : unknown,
    paint: (row, { good, bad, doubtful }) =>
      row.missing.known ? (row.missing.value.count === 0 ? good : bad) : doubtful,
  },
];

function backfillColumns(now: number): readonly Column<BackfillRow>[] {
  return [
    { title: 'NAME', text: nameOf, flexible: 'middle' },
    { title: 'PHASE', text: row => row.progress?.phase ?? 'Planning', paint: (_, { active }) => active },
    {
      title: 'DONE',
      text: ({ progress }) =>
        progress ? `${n(progress.succeeded + progress.failed + progress.skipped)}/${n(progress.total)}` : unknown,
      right: true,
    },
    {
      title: 'FAILED',
      text: ({ progress }) => (progress ? n(progress.failed) : unknown),
      right: true,
      paint: ({ progress }, { bad }) => (progress && progress.failed > 0 ? bad : text => text),
    },
    { title: 'AGE', text: row => span((now - Date.parse(row.startedAt)) / 1000), right: true },
    { title: 'BLOCKED BY', text: row => row.blockedBy?.reason ?? '', paint: (_, { bad }) => bad },
  ];
}

function ledgerLines(view: LedgerView, options: LayOut): string[] {
  const { palette } = options;
  const states = Object.entries(view.runs).map(([state, count]) => `${n(count)} ${state}`);
  const failed = view.failedMeasurements > 0 ? palette.bad(`${n(view.failedMeasurements)} failed`) : '0 failed';
  const rows = Object.entries(view.rows).map(([table, count]) => `${table} ${n(count)}`);
  const list = (title: string, texts: readonly string[], none: string) =>
    wrap(`${title}: ${texts.join(', ') || none}`, options.width - 2).map(
      (line, at) => `${at === 0 ? '  ' : '    '}${line}`,
    );
  return [
    `  ${counted(view.measurements, 'measurement')} in ${counted(view.objects, 'object')} of ${counted(view.buckets, 'bucket')}, ${failed}`,
    ...list('rows', rows, 'there are no tables'),
    ...list('runs', states, 'none'),
    ...(view.lastFailures.length > 0
      ? ['', palette.strong('Last failures'), ...layOut(FAILURES, view.lastFailures, options).map(line => `  ${line}`)]
      : []),
  ];
}

const FAILURES: readonly Column<LedgerView['lastFailures'][number]>[] = [
  { title: 'BUCKET', text: row => row.bucket },
  { title: 'FILTER', text: row => row.filter },
  { title: 'STAGE', text: row => row.stage },
  { title: 'REASON', text: row => row.reason, paint: (_, { bad }) => bad },
  { title: 'MESSAGE', text: row => row.message, flexible: true },
];
