import type { Backfill } from '../../crds/backfill.ts';
import type { Condition } from '../../crds/conditions.ts';
import type { PipelineSchedule } from '../../crds/pipeline-schedule.ts';
import type { WorkerPool } from '../../crds/worker-pool.ts';
import type { Deployment } from '../../operator/kube/builtin.ts';
import type { Palette } from '../colour.ts';
import { printableLine } from '../printable.ts';
import { span } from '../status/text.ts';
import { type Column, layOut } from '../table.ts';
import { widthOf } from '../width.ts';
import { cutEvery, wrap } from '../wrap.ts';

/** Everything that the screen of `kubectl ooni status` shows. */
export interface InstallationView {
  /** ISO 8601. */
  readonly at: string;
  readonly server: string;
  /** Absent: no Deployment with the operator's label was found. */
  readonly operators: readonly Deployment[];
  readonly pools: readonly WorkerPool[];
  readonly schedules: readonly PipelineSchedule[];
  readonly backfills: readonly Backfill[];
}

const n = (value: number | undefined) => value?.toLocaleString('en') ?? 'unknown';
const nameOf = ({ metadata }: { metadata: { name: string; namespace?: string } }) =>
  metadata.namespace === 'default' ? metadata.name : `${metadata.namespace}/${metadata.name}`;

/** Returns the condition Ready of a resource. */
export function ready(status: { conditions?: readonly Condition[] } | undefined): Condition | undefined {
  return status?.conditions?.find(({ type }) => type === 'Ready');
}

function paintReady(state: string | undefined, { good, bad, doubtful }: Palette): (text: string) => string {
  return state === 'True' ? good : state === 'False' ? bad : doubtful;
}

/** Returns the lines of the screen, `width` columns wide at most, except for addresses in the Temporal UI. */
export function screenLines(view: InstallationView, palette: Palette, width: number): string[] {
  const { strong, faint, bad, good } = palette;
  const now = Date.parse(view.at);
  const section = <Row>(title: string, columns: readonly Column<Row>[], rows: readonly Row[]) =>
    rows.length === 0
      ? ['', `${strong(title)}  none`]
      : ['', strong(title), ...layOut(columns, rows, { palette, width: width - 2 }).map(line => `  ${line}`)];
  const head = (title: string, text: string, end: string) => {
    const line = `${strong(title)} ${text}  ${end}`;
    if (widthOf(line) <= width) return [line];
    return [strong(title), ...cutEvery(text, width - 2).map(part => `  ${part}`), `  ${end}`];
  };
  return [
    ...head('Cluster', printableLine(view.server), faint(`${view.at.slice(0, 19).replace('T', ' ')} UTC`)),
    ...(view.operators.length === 0
      ? [`${strong('Operator')} ${bad('not found')}: no Deployment has its labels; install the chart ooni-pipeline`]
      : view.operators.flatMap(({ metadata, spec, status }) => {
          const available = status?.availableReplicas ?? 0;
          const state = `${available}/${spec?.replicas ?? 1} available`;
          const paint = available >= 1 ? good : bad;
          return head('Operator', `${metadata.namespace}/${metadata.name}`, paint(state));
        })),
    ...serverLines(view, palette, width),
    ...section('Worker pools', POOLS, view.pools),
    ...section('Schedules', SCHEDULES, view.schedules),
    ...section('Backfills', backfillColumns(now), view.backfills),
    ...section('Last failures', FAILURES, failuresOf(view.backfills)),
    ...problemLines(view, palette, width),
    ...linkLines(view, palette, width),
  ];
}

/** Error classes of workers by the server that they are about. */
const SERVERS = [
  ['ClickHouse', /^(ClickHouse|TableSchema)/],
  ['Archive', /^Archive/],
] as const;

/** Describes Temporal as the operator sees it, and ClickHouse and the archive as the runs see them. */
function serverLines(view: InstallationView, { strong, good, bad, doubtful }: Palette, width: number): string[] {
  const line = (server: string, paint: (text: string) => string, state: string, message = '') => {
    const [first = '', ...rest] = wrap(printableLine(`${state}${message && `: ${message}`}`), width - 12);
    return [`${strong(server.padEnd(10))}  ${paint(first)}`, ...rest.map(text => `${' '.repeat(12)}${paint(text)}`)];
  };
  const resources = [...view.pools, ...view.schedules, ...view.backfills];
  const states = resources.flatMap(({ status }) => ready(status) ?? []);
  const away = states.find(({ reason }) => reason === 'TemporalUnavailable');
  const temporal = away
    ? line('Temporal', bad, 'does not answer the operator', away.message)
    : states.length === 0 || !view.operators.some(isAvailable)
      ? line('Temporal', doubtful, 'unknown: no operator reports it')
      : line('Temporal', good, 'answers the operator');
  const others = SERVERS.flatMap(([server, errors]) => {
    const [waiting] = [
      ...view.schedules.map(each => ({ kind: 'pipelineschedule', each, blockedBy: each.status?.blockedBy })),
      ...view.backfills.map(each => ({ kind: 'backfill', each, blockedBy: each.status?.blockedBy })),
    ].filter(({ blockedBy }) => errors.test(blockedBy?.reason ?? ''));
    if (waiting) {
      const { kind, each, blockedBy } = waiting;
      const of = blockedBy?.bucket ? ` for ${blockedBy.bucket}` : '';
      return line(server, bad, `${kind}/${nameOf(each)} waits${of}`, blockedBy?.message);
    }
    const isActive =
      view.backfills.some(({ status }) => status?.phase === 'Running') ||
      view.schedules.some(({ status }) => (status?.active ?? 0) > 0);
    return isActive
      ? line(server, good, 'no run waits for it')
      : line(server, text => text, 'no run waits for it, and none is active');
  });
  return ['', ...temporal, ...others];
}

function isAvailable({ status }: Deployment): boolean {
  return (status?.availableReplicas ?? 0) > 0;
}

const POOLS: readonly Column<WorkerPool>[] = [
  { title: 'NAME', text: nameOf, flexible: 'middle' },
  {
    title: 'READY',
    text: ({ status }) => `${n(status?.readyReplicas)}/${n(status?.desiredReplicas)}`,
    right: true,
    paint: ({ status }, palette) =>
      status?.readyReplicas !== undefined && status.readyReplicas === status.desiredReplicas
        ? palette.good
        : palette.doubtful,
  },
  { title: 'BACKLOG', text: ({ status }) => n(status?.backlog), right: true },
  { title: 'TASKS', text: ({ status }) => status?.tasks ?? '' },
  {
    title: 'STATUS',
    text: ({ status }) => ready(status)?.reason ?? 'unknown',
    paint: ({ status }, palette) => paintReady(ready(status)?.status, palette),
  },
];

const SCHEDULES: readonly Column<PipelineSchedule>[] = [
  { title: 'NAME', text: nameOf, flexible: 'middle' },
  { title: 'CRON', text: ({ spec }) => spec.schedule },
  {
    title: 'STATUS',
    text: ({ status }) => ready(status)?.reason ?? 'unknown',
    paint: ({ status }, palette) => paintReady(ready(status)?.status, palette),
  },
  {
    title: 'LAST',
    text: ({ status }) => (status?.lastRun ? `${status.lastRun.bucket} ${status.lastRun.state}` : 'none yet'),
    paint: ({ status }, { bad, good }) =>
      status?.lastRun?.state === 'Failed' ? bad : status?.lastRun ? good : text => text,
  },
  { title: 'NEXT', text: ({ status }) => status?.nextBuckets?.[0]?.bucket ?? '' },
  {
    title: 'LAG',
    text: each => (isNothingDue(each) ? 'none due' : n(each.status?.lag)),
    right: true,
    paint: (each, palette) => paintCount(each, each.status?.lag, palette),
  },
  {
    title: 'MISSING',
    text: each => {
      const { count, first } = each.status?.missing ?? {};
      if (count === undefined) return isNothingDue(each) ? 'none due' : 'unknown';
      return count > 0 && first ? `${n(count)}: ${first}` : n(count);
    },
    paint: (each, palette) => paintCount(each, each.status?.missing?.count, palette),
  },
];

/** Returns whether no bucket of a schedule is due yet: it has not fired, and its next bucket is its first. Then nothing can be missing. */
function isNothingDue({ status }: PipelineSchedule): boolean {
  const { lastRun, coverage, nextBuckets } = status ?? {};
  const next = nextBuckets?.[0]?.bucket;
  return !lastRun && coverage !== undefined && next !== undefined && next <= coverage.from;
}

function paintCount(
  each: PipelineSchedule,
  count: number | undefined,
  { good, bad, doubtful }: Palette,
): (text: string) => string {
  if (count === undefined) return isNothingDue(each) ? good : doubtful;
  return count === 0 ? good : bad;
}

const BAR = 10;

/** Returns a bar of a share from 0 to 100. Rounded down, so that a full bar means all. */
function bar(percent: number): string {
  const full = Math.floor((percent / 100) * BAR);
  return '█'.repeat(full) + '░'.repeat(BAR - full);
}

function backfillColumns(now: number): readonly Column<Backfill>[] {
  return [
    { title: 'NAME', text: nameOf, flexible: 'middle' },
    {
      title: 'PHASE',
      text: ({ status }) => status?.phase ?? 'unknown',
      paint: ({ status }, { good, bad, active, doubtful }) =>
        status?.phase === 'Complete'
          ? good
          : status?.phase === 'Failed'
            ? bad
            : status?.phase === 'Running'
              ? active
              : doubtful,
    },
    {
      title: 'PROGRESS',
      text: ({ status }) => (status?.progress ? `${bar(status.progress.percent)} ${status.progress.done}` : 'unknown'),
    },
    {
      title: 'FAILED',
      text: ({ status }) => n(status?.progress?.failed),
      right: true,
      paint: ({ status }, { bad }) => ((status?.progress?.failed ?? 0) > 0 ? bad : text => text),
    },
    { title: 'MEASURED', text: ({ status }) => n(status?.measurements), right: true },
    {
      title: 'ETA',
      text: ({ status }) => (status?.eta ? span((Date.parse(status.eta) - now) / 1000) : ''),
      right: true,
    },
    { title: 'BLOCKED BY', text: ({ status }) => status?.blockedBy?.reason ?? '', paint: (_, { bad }) => bad },
  ];
}

interface FailureRow {
  readonly backfill: string;
  readonly bucket: string;
  readonly reason: string;
  readonly message: string;
}

/** Number of failures that are shown. */
const FAILURES_SHOWN = 8;

function failuresOf(backfills: readonly Backfill[]): FailureRow[] {
  return backfills
    .flatMap(each =>
      (each.status?.failures ?? []).map(({ bucket, reason, message }) => ({
        backfill: nameOf(each),
        bucket,
        reason,
        message,
      })),
    )
    .slice(0, FAILURES_SHOWN);
}

const FAILURES: readonly Column<FailureRow>[] = [
  { title: 'BACKFILL', text: row => row.backfill },
  { title: 'BUCKET', text: row => row.bucket },
  { title: 'REASON', text: row => row.reason, paint: (_, { bad }) => bad },
  { title: 'MESSAGE', text: row => row.message, flexible: true },
];

/** A condition that says that a resource is not as desired. */
interface Problem {
  /** Kind and name of the resource. */
  readonly name: string;
  readonly condition: Condition;
}

function isProblem({ type, status }: Condition): boolean {
  if (type === 'Ready') return status !== 'True';
  return status === 'True' && (type === 'Stalled' || type === 'Warning' || type === 'LastRunFailed');
}

function problemsOf(view: InstallationView): Problem[] {
  const resources = [
    ...view.pools.map(each => ['workerpool', each] as const),
    ...view.schedules.map(each => ['pipelineschedule', each] as const),
    ...view.backfills.map(each => ['backfill', each] as const),
  ];
  return resources.flatMap(([kind, each]) => {
    const conditions: readonly Condition[] = each.status?.conditions ?? [];
    return conditions.filter(isProblem).map(condition => ({ name: `${kind}/${nameOf(each)}`, condition }));
  });
}

/** Lists the resources that are not as desired, with the message of the operator. */
function problemLines(view: InstallationView, { strong, bad, doubtful }: Palette, width: number): string[] {
  const problems = problemsOf(view);
  if (problems.length === 0) return [];
  // Stalled says the same as Ready.
  const shown = problems.filter(
    ({ name, condition: { type } }) =>
      type !== 'Stalled' || !problems.some(other => other.name === name && other.condition.type === 'Ready'),
  );
  return [
    '',
    strong('Not as desired'),
    ...shown.flatMap(({ name, condition: { status, type, reason, message } }) => {
      const paint = type === 'Warning' || status === 'Unknown' ? doubtful : bad;
      // The message ends with the remedy, so it is shown as a whole.
      const lines = wrap(printableLine(`${name}: ${reason}: ${message}`), width - 4);
      return lines.map((line, at) => `${at === 0 ? '  ' : '    '}${paint(line)}`);
    }),
  ];
}

/** Number of links that are shown. */
const LINKS_SHOWN = 6;

/** Lists the addresses of the resources that somebody may have to look at: those at work, and those that are not as desired. */
function linkLines(view: InstallationView, { strong }: Palette, width: number): string[] {
  const links = [
    ...view.schedules.filter(each => each.status?.lastRun?.state === 'Failed' || !isReady(each)),
    ...view.backfills.filter(each => each.status?.phase === 'Running' || !isReady(each)),
    ...view.pools.filter(each => !isReady(each)),
  ].flatMap(each =>
    Object.values(each.status?.links ?? {})
      .slice(0, 1)
      // The name has its own line, because an address is long. A terminal follows an address only if no line end is in it.
      .map(link => [...cutEvery(nameOf(each), width - 2).map(part => `  ${part}`), printableLine(link)]),
  );
  return links.length === 0 ? [] : ['', strong('In the Temporal UI'), ...links.slice(0, LINKS_SHOWN).flat()];
}

/** Returns whether a resource is as desired. */
export function isReady({ status }: { readonly status?: { conditions?: readonly Condition[] } }): boolean {
  return ready(status)?.status === 'True';
}

/**
 * Whether an operator is available, each resource is as desired, nothing blocks a run, and no bucket failed. A missing bucket counts only if the
 * operator warns of it, because a bucket is missing also while its run is active.
 */
export function isAsDesired(view: InstallationView): boolean {
  const { operators, pools, schedules, backfills } = view;
  return (
    operators.some(isAvailable) &&
    [...pools, ...schedules, ...backfills].every(isReady) &&
    problemsOf(view).length === 0 &&
    [...schedules, ...backfills].every(({ status }) => !status?.blockedBy) &&
    backfills.every(({ status }) => (status?.progress?.failed ?? 0) === 0)
  );
}
