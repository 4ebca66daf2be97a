import { describe, expect, test } from 'vitest';
import {
  PIPELINE_SCHEDULE,
  type PipelineSchedule,
  type PipelineScheduleSpecInput,
  type PipelineScheduleStatus,
} from '../../../crds/pipeline-schedule.ts';
import { FINALIZER, SpecError } from '../../../crds/resource.ts';
import type { BucketHistory } from '../../../pipeline/ledger/history.ts';
import type { Observation } from '../../observation.ts';
import type { Launch } from '../../temporal/launches.ts';
import type { ScheduleState } from '../../temporal/schedules.ts';
import { desiredConditions, lint, merge } from '../conditions.ts';
import { specOf } from '../reconcile.ts';
import { countsOf, coverageOf, dueRange, type Missing, missingOf } from './coverage.ts';
import { changesSchedule, planSchedule } from './plan.ts';
import type { ObservedSchedule, SchedulePlan } from './plan-types.ts';
import { recordIn } from './record.ts';
import { OUR_NOTE, requestOf } from './request.ts';
import type { RunRequest } from './requested-run.ts';
import { scheduleStatus } from './status.ts';

const NOW = Date.parse('2026-05-06T07:08:09Z');
const day = (text: string) => Date.parse(`${text}T02:00:00Z`);

/** Returns the hash of the request of a schedule with this cron line. */
function hashOfSpec(schedule: string): string {
  const { object, spec } = given({ spec: { schedule } });
  if (spec instanceof SpecError) throw spec;
  return requestOf(object, spec, 'ooni').hash;
}

interface Given {
  readonly spec?: Partial<PipelineScheduleSpecInput>;
  readonly metadata?: object;
  readonly status?: PipelineScheduleStatus;
  /** Schedule in Temporal; 'inForce': exactly as the spec says. */
  readonly schedule?: 'away' | 'absent' | 'inForce' | Partial<ScheduleState>;
  readonly launches?: readonly Launch[];
  readonly missing?: ObservedSchedule['missing'];
  readonly requested?: ObservedSchedule['requested'];
  readonly blockedBy?: ObservedSchedule['blockedBy'];
}

function given({
  spec,
  metadata,
  status,
  schedule = 'absent',
  launches,
  missing,
  requested,
  blockedBy,
}: Given): ObservedSchedule {
  const object = {
    apiVersion: 'pipeline.ooni.org/v1alpha1',
    kind: 'PipelineSchedule',
    metadata: { name: 'daily', namespace: 'data', uid: 'uid-1', generation: 2, finalizers: [FINALIZER], ...metadata },
    spec: { schedule: '0 2 * * *', ...spec },
    status,
  } as PipelineSchedule;
  const parsed = specOf(PIPELINE_SCHEDULE, object);
  const seen = (): Observation<ScheduleState | undefined> => {
    if (schedule === 'away') return { known: false, message: 'no connection' };
    if (schedule === 'absent') return { known: true, value: undefined };
    const state: ScheduleState = {
      ownerUID: 'uid-1',
      hash: parsed instanceof SpecError ? '' : requestOf(object, parsed, 'ooni').hash,
      described: 'as-it-was',
      paused: false,
      note: '',
      nextFirings: [day('2026-05-07'), day('2026-05-08'), day('2026-05-09'), day('2026-05-10')],
      recent: [],
      version: { raw: {}, conflictToken: new Uint8Array([1]) },
      ...(schedule === 'inForce' ? {} : schedule),
    };
    return { known: true, value: state };
  };
  return {
    object,
    spec: parsed,
    schedule: seen(),
    launches: launches ? { known: true, value: launches } : { known: false, message: 'no connection' },
    ...(missing && { missing }),
    ...(requested && { requested }),
    ...(blockedBy && { blockedBy }),
  };
}

function plan(what: Given): SchedulePlan {
  const observed = given(what);
  const result = planSchedule(observed, 'ooni', NOW);
  const conditions = merge(observed.object.status?.conditions, desiredConditions(result.summary, result.own), 2, NOW);
  expect(lint({ observedGeneration: 2, conditions })).toEqual([]);
  return result;
}
const does = (result: SchedulePlan) => result.actions.map(action => action.do);

const launch = (date: string, state: Launch['state']): Launch => ({
  workflowID: `ooni/launch/data/daily-${date}T02:00:00Z`,
  runID: date,
  scheduleID: 'ooni/schedule/data/daily',
  state,
  startedAt: day(date),
});

describe('plan', () => {
  test('the finalizer comes before any effect', () => {
    expect(does(plan({ metadata: { finalizers: [] } }))).toEqual(['addFinalizer']);
  });

  test('an absent schedule is created with the complete spec', () => {
    const result = plan({
      spec: { probeCC: ['us'], testNames: ['web_connectivity'], overlap: 'Skip', granularity: 'Hour' },
    });
    expect(result.actions).toMatchObject([
      {
        do: 'create',
        pause: { paused: false },
        request: {
          id: 'ooni/schedule/data/daily',
          launchID: 'ooni/launch/data/daily',
          ownerUID: 'uid-1',
          cron: ['0 2 * * *'],
          timeZone: 'Etc/UTC',
          overlap: 'Skip',
          catchUpWindow: 86_400,
          input: {
            installation: 'ooni',
            granularity: 'Hour',
            filterID: 'us-webconnectivity',
            stages: ['Observations', 'Analysis'],
          },
        },
      },
    ]);
    expect(result.summary).toMatchObject({ kind: 'working', reason: 'Starting' });
  });

  test('a suspended schedule is created paused', () => {
    expect(plan({ spec: { suspend: true } }).actions).toMatchObject([
      { do: 'create', pause: { paused: true, note: OUR_NOTE } },
    ]);
  });

  test('a schedule as desired is not changed', () => {
    const result = plan({ schedule: 'inForce' });
    expect(result.actions).toEqual([]);
    expect(result.summary).toMatchObject({ kind: 'ready', reason: 'Scheduled' });
  });

  test.each([
    ['NoWorker', 'no worker has taken it', 'NoWorker', '2026-05-05 waits for a worker that takes Activities'],
    ['ArchiveSlow', 'nearly all of it', 'ArchiveSlow', '2026-05-05 waits for the archive: nearly'],
    ['ClickHouseUnavailable', 'refused', 'Retrying', '2026-05-05 is being retried: ClickHouseUnavailable: refused.'],
  ])('an active run that is blocked by %s shows in the status of its schedule', (reason, message, expected, text) => {
    const blockedBy = { bucket: '2026-05-05', workflowID: 'ooni/ALLCCS-ALLTNS/2026-05-05', reason, message };
    const result = plan({ schedule: 'inForce', blockedBy });
    expect(result.summary).toMatchObject({ kind: 'ready', reason: expected });
    expect(result.summary.message).toContain(text);
    expect(result.summary.message).toMatch(/The schedule is in force\.$/);
    const observed = given({ schedule: 'inForce', blockedBy });
    const ui = { url: 'http://ui', namespace: 'default' };
    const status = scheduleStatus(observed, result, 'ooni', ui);
    const link = 'http://ui/namespaces/default/workflows/ooni%2FALLCCS-ALLTNS%2F2026-05-05';
    expect(status.blockedBy).toEqual({ bucket: '2026-05-05', reason, message, link });
    const later = given({ schedule: 'inForce', status });
    expect(scheduleStatus(later, plan({ schedule: 'inForce' }), 'ooni', ui).blockedBy).toBeUndefined();
  });

  test('a suspended schedule stays Suspended while its active run is blocked', () => {
    const blockedBy = { bucket: '2026-05-05', workflowID: 'w', reason: 'NoWorker', message: 'no worker' };
    const seen = { paused: true, note: OUR_NOTE };
    expect(plan({ spec: { suspend: true }, schedule: seen, blockedBy }).summary.reason).toBe('Suspended');
  });

  test('a schedule that nothing has shown since its creation is not in force yet, and its firings are unknown', () => {
    const what: Given = { schedule: { unseen: true, described: undefined, nextFirings: [] } };
    const result = plan(what);
    expect(result).toMatchObject({ actions: [], summary: { kind: 'working', reason: 'Starting' }, after: 3000 });
    const { scheduleID, scheduleHash, nextBuckets } = scheduleStatus(given(what), result, 'ooni', {} as never);
    expect({ scheduleID, scheduleHash, nextBuckets }).toEqual({ scheduleID: 'ooni/schedule/data/daily' });
  });

  test('a schedule in a list is in force without a description, which precedes every change', () => {
    const listed = { described: undefined, version: undefined };
    expect(plan({ schedule: listed }).summary).toMatchObject({ kind: 'ready', reason: 'Scheduled' });
    expect(changesSchedule(given({ schedule: listed }), 'ooni')).toBe(false);
    expect(changesSchedule(given({ schedule: { ...listed, hash: 'other' } }), 'ooni')).toBe(true);
    expect(changesSchedule(given({ spec: { suspend: true }, schedule: listed }), 'ooni')).toBe(true);
    expect(changesSchedule(given({ schedule: 'absent' }), 'ooni')).toBe(false);
  });

  test('the record in the status counts while the spec is the same, and only with the hash of its request', () => {
    const id = 'ooni/schedule/data/daily';
    const record = (status: object) => recordIn(given({ status: status as never }).object as never, id);
    const kept = { scheduleID: id, scheduleHash: 'h:d', observedGeneration: 2 };
    expect(record(kept)).toEqual({ ownerUID: 'uid-1', hash: 'h', described: 'd' });
    expect(record({ ...kept, observedGeneration: 1 })).toBeUndefined();
    expect(record({ ...kept, scheduleID: 'another' })).toBeUndefined();
    expect(record({ ...kept, scheduleHash: 'd' })).toBeUndefined();
    expect(record({})).toBeUndefined();
  });

  test('another hash causes an update that keeps the paused state', () => {
    const byHand = plan({ schedule: { hash: 'other', paused: true, note: 'maintenance' } });
    expect(byHand.actions).toMatchObject([{ do: 'update', pause: { paused: true, note: 'maintenance' } }]);
    expect(plan({ schedule: { hash: 'other' } }).actions).toMatchObject([{ do: 'update', pause: { paused: false } }]);
  });

  test.each([
    ['suspend pauses', { suspend: true }, {}, { paused: true, note: OUR_NOTE }],
    [
      'suspend takes over a pause by hand',
      { suspend: true },
      { paused: true, note: 'mine' },
      { paused: true, note: OUR_NOTE },
    ],
    ['suspend back unpauses our own pause', {}, { paused: true, note: OUR_NOTE }, { paused: false, note: '' }],
  ])('%s', (_, spec, schedule, pause) => {
    expect(plan({ spec, schedule }).actions).toMatchObject([{ do: 'update', pause }]);
  });

  test('a pause by hand is reported and kept', () => {
    const result = plan({ schedule: { paused: true, note: 'maintenance' } });
    expect(result.actions).toEqual([]);
    expect(result.summary).toMatchObject({ kind: 'stalled', reason: 'PausedInTemporal' });
    expect(result.summary.message).toContain('maintenance');
  });

  test('a suspended schedule is ready, because the spec asks for it', () => {
    const result = plan({ spec: { suspend: true }, schedule: { paused: true, note: OUR_NOTE } });
    expect(result).toMatchObject({ actions: [], summary: { kind: 'ready', reason: 'Suspended' } });
  });

  test('a note by hand on a running schedule is not drift', () => {
    expect(plan({ schedule: { note: 'looked at on Monday' } }).actions).toEqual([]);
  });

  test('a change by hand in Temporal is undone, once', () => {
    const status = { scheduleID: 'ooni/schedule/data/daily', scheduleHash: 'as-it-was' };
    expect(plan({ status, schedule: 'inForce' }).actions).toEqual([]);
    const changed = { status, schedule: { described: 'changed' } };
    expect(does(plan(changed))).toEqual(['update']);
    const observed = given(changed);
    const after = scheduleStatus(observed, planSchedule(observed, 'ooni', NOW), 'ooni', {
      url: '',
      namespace: 'default',
    });
    expect(after.scheduleHash).toBeUndefined();
    expect(plan({ ...changed, status: after }).actions).toEqual([]);
  });

  test('an update of an operator that ended before it wrote the status is not repeated, and is not taken for a change by hand', () => {
    const record = (what: Given) => {
      const observed = given(what);
      return scheduleStatus(observed, planSchedule(observed, 'ooni', NOW), 'ooni', { url: '', namespace: 'default' });
    };
    const earlier = record({
      spec: { schedule: '0 1 * * *' },
      schedule: { described: 'at-one', hash: hashOfSpec('0 1 * * *') },
    });
    const updated = { described: 'at-two', hash: hashOfSpec('0 2 * * *') };
    expect(plan({ status: earlier, schedule: updated }).actions).toEqual([]);
    const status = record({ status: earlier, schedule: updated });
    expect(does(plan({ status, schedule: { ...updated, described: 'by hand' } }))).toEqual(['update']);
  });

  test('a schedule without its mark is still ours when our status has its id', () => {
    const status = { scheduleID: 'ooni/schedule/data/daily' };
    expect(does(plan({ status, schedule: { ownerUID: undefined, hash: undefined } }))).toEqual(['update']);
    expect(does(plan({ status, schedule: { ownerUID: 'uid-2' } }))).toEqual([]);
  });

  test('a schedule that never had our mark is not recorded as ours', () => {
    const what = { metadata: { finalizers: [] }, schedule: { ownerUID: undefined, hash: undefined } };
    const observed = given(what);
    const status = scheduleStatus(observed, planSchedule(observed, 'ooni', NOW), 'ooni', {
      url: '',
      namespace: 'default',
    });
    expect(status.scheduleID).toBeUndefined();
    expect(plan({ status, schedule: what.schedule }).summary.reason).toBe('AdoptionRefused');
  });

  test("somebody else's schedule is refused, and adopted with the annotation", () => {
    for (const ownerUID of [undefined, 'uid-2']) {
      const refused = plan({ schedule: { ownerUID } });
      expect(refused.actions).toEqual([]);
      expect(refused.summary).toMatchObject({ kind: 'stalled', reason: 'AdoptionRefused' });
      expect(refused.summary.message).toContain('pipeline.ooni.org/adopt: "true"');
      const metadata = { annotations: { 'pipeline.ooni.org/adopt': 'true' } };
      expect(does(plan({ metadata, schedule: { ownerUID } }))).toEqual(['update']);
    }
  });

  test('an invalid spec changes nothing', () => {
    const result = plan({ spec: { schedule: '0 25 * * *' }, schedule: {} });
    expect(result).toMatchObject({ actions: [], summary: { kind: 'stalled', reason: 'InvalidSpec' } });
  });

  test('unknown names and a cron line that does not fit cause warnings, and the schedule is in force', () => {
    const spec = { schedule: '0 2 * * *', granularity: 'Hour', testNames: ['web_conectivity'] } satisfies Given['spec'];
    const { own, actions } = plan({ spec });
    expect(actions).toMatchObject([{ do: 'create' }]);
    expect(own).toMatchObject([{ type: 'Warning', status: 'True', reason: 'UnknownName' }]);
    expect(own[0]?.message).toContain('did you mean web_connectivity?');
    expect(own[0]?.message).toContain('handles 1 of the 24 hours');
    expect(plan({ schedule: 'inForce' }).own).toEqual([]);
  });

  test('while Temporal is unavailable no state is claimed', () => {
    expect(plan({ schedule: 'away' })).toMatchObject({
      actions: [],
      summary: { kind: 'unknown', reason: 'TemporalUnavailable' },
    });
  });

  test('the hash depends on the meaning of the spec, not on the order of its fields', () => {
    const hash = (spec: Partial<PipelineScheduleSpecInput>) => {
      const [action] = plan({ spec }).actions;
      return action?.do === 'create' ? action.request.hash : undefined;
    };
    expect(hash({ probeCC: ['it', 'US'], testNames: ['web_connectivity'] })).toBe(
      hash({ testNames: ['webconnectivity'], probeCC: ['US', 'IT', 'IT'] }),
    );
    expect(hash({ catchUpWindow: '1h' })).toBe(hash({ catchUpWindow: '60m' }));
    expect(hash({ probeCC: ['IT'] })).not.toBe(hash({}));
    expect(hash({ suspend: true })).toBe(hash({}));
  });
});

describe('deletion', () => {
  const metadata = { deletionTimestamp: 'x' };
  test.each([
    ['the schedule goes first', 'inForce', ['deleteSchedule', 'removeFinalizer']],
    ['one that is gone already', 'absent', ['removeFinalizer']],
    ["somebody else's stays", { ownerUID: 'uid-2' }, ['removeFinalizer']],
    ['nothing is let go while Temporal is away', 'away', []],
  ] as const)('%s', (_, schedule, expected) => {
    expect(does(plan({ metadata, schedule }))).toEqual(expected);
  });

  test('while Temporal is unavailable the message names the remedy', () => {
    expect(plan({ metadata, schedule: 'away' }).summary.message).toContain('pipeline.ooni.org/abandon: "true"');
    const abandoned = { ...metadata, annotations: { 'pipeline.ooni.org/abandon': 'true' } };
    expect(does(plan({ metadata: abandoned, schedule: 'away' }))).toEqual(['removeFinalizer']);
  });
});

describe('status', () => {
  const statusOf = (what: Given) => {
    const observed = given(what);
    return scheduleStatus(observed, planSchedule(observed, 'ooni', NOW), 'ooni', {
      url: 'http://ui',
      namespace: 'default',
    });
  };

  test('a firing handles the previous day', () => {
    const status = statusOf({ schedule: 'inForce', launches: [] });
    expect(status.nextBuckets).toEqual([
      { bucket: '2026-05-06', at: '2026-05-07T02:00:00Z' },
      { bucket: '2026-05-07', at: '2026-05-08T02:00:00Z' },
      { bucket: '2026-05-08', at: '2026-05-09T02:00:00Z' },
    ]);
    expect(status.links).toEqual({ schedule: 'http://ui/namespaces/default/schedules/ooni%2Fschedule%2Fdata%2Fdaily' });
  });

  test('last run, last success and lag come from the launches', () => {
    const status = statusOf({
      schedule: { recent: [{ at: day('2026-05-06'), workflowID: 'x' }] },
      launches: [
        launch('2026-05-06', 'Running'),
        launch('2026-05-05', 'Failed'),
        launch('2026-05-04', 'Skipped'),
        launch('2026-05-03', 'Succeeded'),
      ],
    });
    expect(status).toMatchObject({
      active: 1,
      lastRun: { bucket: '2026-05-05', state: 'Running', at: '2026-05-06T02:00:00Z' },
      lastSuccessfulBucket: '2026-05-02',
      lag: 3,
    });
  });

  test('a success beyond retention stays in the status', () => {
    const before = { lastSuccessfulBucket: '2026-05-04' };
    expect(statusOf({ status: before, schedule: 'inForce', launches: [] }).lastSuccessfulBucket).toBe('2026-05-04');
    expect(statusOf({ status: before, schedule: 'away' }).lastSuccessfulBucket).toBe('2026-05-04');
  });

  test('a paused schedule has no next bucket, an unknown lag is left out', () => {
    const status = statusOf({ schedule: { paused: true }, launches: [] });
    expect(status.nextBuckets).toEqual([]);
    expect(status.lag).toBeUndefined();
  });
});

describe('missing buckets', () => {
  const known = (value: Missing) => ({ known: true, value }) as const;
  const types = ({ own }: SchedulePlan) => own.map(({ type, reason }) => `${type} ${reason}`);

  // ok, fail, fail, ok: the newest success says nothing about the two before it.
  const launches = [
    launch('2026-05-05', 'Succeeded'),
    launch('2026-05-04', 'Failed'),
    launch('2026-05-03', 'Failed'),
    launch('2026-05-02', 'Succeeded'),
  ];
  const spec = specOf(PIPELINE_SCHEDULE, { spec: { schedule: '0 2 * * *' } });
  if (spec instanceof SpecError) throw spec;
  const schedule = { nextFirings: [day('2026-05-06')], recent: [{ at: day('2026-05-05'), workflowID: 'x' }] };

  test('come from the ledger, whatever the newest run was', () => {
    const coverage = coverageOf(spec, undefined, schedule, launches);
    expect(coverage?.from).toBe('2026-05-01');
    const range = dueRange(spec, coverage!, schedule, launches);
    expect(range).toEqual({ from: '2026-05-01', before: '2026-05-05', pending: [] });
    const done = ['2026-05-01', '2026-05-04'];
    const missing = missingOf(range!, spec, bucket => done.includes(bucket));
    expect(missing).toEqual({ count: 2, first: '2026-05-02', last: '2026-05-03' });
    const result = plan({ schedule: 'inForce', launches, missing: known(missing) });
    expect(types(result)).toEqual(['Warning BucketsMissing']);
    expect(result.own[0]?.message).toContain('2 due buckets are not completed, from 2026-05-02 to 2026-05-03.');
    const status = scheduleStatus(given({ schedule: 'inForce', launches, missing: known(missing) }), result, 'ooni', {
      url: '',
      namespace: '',
    });
    expect(status).toMatchObject({ missing, coverage: { from: '2026-05-01' } });
  });

  test('due buckets are counted by the last step that they have completed', () => {
    const range = { from: '2026-05-01', before: '2026-05-06', pending: ['2026-05-04'] };
    const both = ['Observations', 'Analysis'] as const;
    const histories: Record<string, Pick<BucketHistory, 'begun' | 'pending'>> = {
      '2026-05-01': { begun: both, pending: [] },
      '2026-05-02': { begun: both, pending: ['Analysis'] },
      '2026-05-03': { begun: ['Observations'], pending: both },
      '2026-05-04': { begun: ['Observations'], pending: ['Analysis'] },
      '2026-05-05': { begun: [], pending: both },
    };
    const historyOf = (bucket: string) => histories[bucket]!;
    expect(countsOf(range, spec, historyOf)).toEqual({ expected: 5, listed: 4, read: 3, judged: 1 });
    expect(countsOf(range, { ...spec, stages: ['Analysis'] }, historyOf)).toEqual({ expected: 5, judged: 1 });
    const result = plan({ schedule: 'inForce', launches });
    const counted = { ...given({ schedule: 'inForce', launches }), buckets: { expected: 5, judged: 1 } };
    expect(scheduleStatus(counted, result, 'ooni', { url: '', namespace: '' }).buckets).toEqual(counted.buckets);
  });

  test('an active bucket, or one whose firing is not visible yet, is not missing', () => {
    const later = { ...schedule, recent: [{ at: day('2026-05-07'), workflowID: 'x' }] };
    const range = dueRange(spec, { from: '2026-05-01', selection: '' }, later, [
      launch('2026-05-06', 'Running'),
      ...launches,
    ]);
    expect(range).toEqual({ from: '2026-05-01', before: '2026-05-07', pending: ['2026-05-05', '2026-05-06'] });
    expect(missingOf(range!, spec, () => false).count).toBe(4);
  });

  test('the coverage does not begin with a firing of the schedule that is about to be changed', () => {
    const before = coverageOf(spec, undefined, schedule, launches)!;
    const status = { coverage: before } as PipelineScheduleStatus;
    // Temporal still has the yearly schedule of the former spec.
    const former = { hash: hashOfSpec('5 4 1 1 *'), nextFirings: [day('2027-01-01')], recent: [] };
    const what = { spec: { probeCC: ['IT'] }, status, schedule: former, launches: [] };
    const changing = plan(what);
    expect(does(changing)).toEqual(['update']);
    const ui = { url: '', namespace: '' };
    expect(scheduleStatus(given(what), changing, 'ooni', ui).coverage).toEqual(before);
    const after = { ...what, schedule: 'inForce' } as const;
    expect(scheduleStatus(given(after), plan(after), 'ooni', ui).coverage?.from).toBe('2026-05-06');
  });

  test('the coverage stays, and begins anew when the spec selects other data', () => {
    const before = coverageOf(spec, undefined, schedule, launches)!;
    expect(coverageOf({ ...spec, suspend: true, schedule: '0 3 * * *' }, before, schedule, [])).toEqual(before);
    expect(coverageOf({ ...spec, probeCC: ['IT'] }, before, schedule, launches)?.from).toBe('2026-05-05');
    expect(coverageOf({ ...spec, granularity: 'Hour' }, before, schedule, launches)?.from).toBe('2026-05-06T01');
    expect(coverageOf(spec, undefined, { nextFirings: [], recent: [] }, [])).toBeUndefined();
    expect(dueRange(spec, before, { recent: [] }, [])).toBeUndefined();
  });

  test.each([
    [
      'failed',
      [launch('2026-05-06', 'Running'), launch('2026-05-05', 'Failed')],
      known({ count: 1, first: '2026-05-04', last: '2026-05-04' }),
      'LastRunFailed RunFailed',
    ],
    ['was cancelled', [launch('2026-05-05', 'Cancelled')], undefined, 'LastRunFailed RunCancelled'],
    ['failed, and a backfill has completed it since', [launch('2026-05-05', 'Failed')], known({ count: 0 }), undefined],
    [
      'succeeded after a failure',
      [launch('2026-05-05', 'Succeeded'), launch('2026-05-04', 'Failed')],
      undefined,
      undefined,
    ],
  ])('the last run %s', (_, runs, missing, expected) => {
    const found = types(plan({ schedule: 'inForce', launches: runs, ...(missing && { missing }) }));
    expect(found.find(one => one.startsWith('LastRunFailed'))).toBe(expected);
  });

  test('an unreadable ledger is unknown: the former figures stay, and the schedule says so', () => {
    const missing = { known: false, message: 'the ledger cannot be read' } as const;
    const status = { missing: { count: 3, first: '2026-05-01', last: '2026-05-03' } };
    const what = { status, schedule: 'inForce', launches: [], missing } as const;
    expect(plan(what).summary.message).toContain('the ledger cannot be read');
    const observed = given(what);
    expect(scheduleStatus(observed, plan(what), 'ooni', { url: '', namespace: '' }).missing).toEqual(status.missing);
  });
});

describe('a requested run', () => {
  const request: RunRequest = {
    value: '2026-05-01',
    workflowID: 'ooni/requested/data/daily/2026-05-01',
    input: {
      installation: 'ooni',
      granularity: 'Day',
      filter: { probeCC: [], testNames: [] },
      filterID: 'all',
      stages: ['Analysis'],
      bucket: '2026-05-01',
    },
  };
  const absent = { request, run: { known: true, value: undefined } } as const;

  test.each([
    ['a schedule in force', {}],
    ['a suspended schedule', { spec: { suspend: true }, schedule: { paused: true, note: OUR_NOTE } }],
    ['a schedule that is paused in Temporal', { schedule: { paused: true, note: 'mine' } }],
  ])('starts beside %s', (_, what) => {
    const result = plan({ schedule: 'inForce', ...what, requested: absent });
    expect(result.actions).toEqual([{ do: 'startRun', request }]);
    expect(result.events).toMatchObject([{ reason: 'RequestedRunStarted' }]);
    expect(result.after).toBe(500);
  });

  test.each([
    ['is created', { schedule: 'absent' }, ['create']],
    ['is updated', { schedule: { hash: 'other' } }, ['update']],
    ['belongs to somebody else', { schedule: { ownerUID: 'other' } }, []],
    ['cannot be read', { schedule: 'away' }, []],
    ['has an invalid spec', { spec: { schedule: '0 25 * * *' }, schedule: 'inForce' }, []],
    ['is deleted', { metadata: { deletionTimestamp: 'now' }, schedule: 'absent' }, ['removeFinalizer']],
  ] as const)('waits while the schedule %s', (_, what, actions) => {
    const result = plan({ ...what, requested: absent });
    expect(does(result)).toEqual(actions);
    expect(result.events ?? []).toEqual([]);
  });

  test('is watched while it runs, and its start leaves the hash of the schedule in the status', () => {
    const run = { known: true, value: { state: 'Running', startedAt: NOW } } as const;
    expect(plan({ schedule: 'inForce', requested: { request, run } })).toMatchObject({ actions: [], after: 3000 });
    const observed = given({ schedule: 'inForce', requested: absent });
    const status = scheduleStatus(observed, planSchedule(observed, 'ooni', NOW), 'ooni', {} as never);
    expect(status).toMatchObject({ scheduleHash: expect.stringMatching(/^[0-9a-f]{16}:as-it-was$/) });
    expect(status.requestedRun).toBeUndefined();
  });

  test('with a wrong value is a warning, and the schedule stays ready', () => {
    const result = plan({
      schedule: 'inForce',
      requested: { problem: 'annotation x = "y" is not a bucket; write z.' },
    });
    expect(result).toMatchObject({
      actions: [],
      summary: { kind: 'ready' },
      own: [{ type: 'Warning', reason: 'InvalidAnnotation', message: 'annotation x = "y" is not a bucket; write z.' }],
    });
  });
});
