import { describe, expect, test } from 'vitest';
import { BACKFILL, type Backfill, type BackfillSpecInput, type BackfillStatus } from '../../../crds/backfill.ts';
import { FINALIZER } from '../../../crds/resource.ts';
import type { BackfillProgress } from '../../../worker/contract.ts';
import type { Observation } from '../../observation.ts';
import type { BackfillState } from '../../temporal/backfills.ts';
import { desiredConditions, lint, merge, transitions } from '../conditions.ts';
import { specOf } from '../reconcile.ts';
import { hasRecordedEnd, planBackfill } from './plan.ts';
import type { BackfillPlan, ObservedBackfill } from './plan-types.ts';
import { backfillStatus } from './status.ts';

const NOW = Date.parse('2026-05-06T07:08:09Z');
const ID = 'ooni/backfill/data/italy/uid-1';

interface Given {
  readonly spec?: Partial<BackfillSpecInput>;
  readonly metadata?: object;
  readonly status?: BackfillStatus;
  readonly workflow?: BackfillState | 'away';
}

function given({ spec, metadata, status, workflow = { state: 'absent' } }: Given): ObservedBackfill {
  const object = {
    apiVersion: 'pipeline.ooni.org/v1alpha1',
    kind: 'Backfill',
    metadata: { name: 'italy', namespace: 'data', uid: 'uid-1', generation: 3, finalizers: [FINALIZER], ...metadata },
    spec: { startAt: '2024-01-01', endAt: '2024-02-01', ...spec },
    status,
  } as Backfill;
  const seen: Observation<BackfillState> =
    workflow === 'away' ? { known: false, message: 'no connection' } : { known: true, value: workflow };
  return { object, spec: specOf(BACKFILL, object), workflow: seen };
}

/** Plans, and checks that the conditions agree with each other. */
function plan(what: Given, now = NOW): BackfillPlan {
  const observed = given(what);
  const result = planBackfill(observed, 'ooni', now);
  const conditions = merge(observed.object.status?.conditions, desiredConditions(result.summary, result.own), 3, now);
  expect(lint({ observedGeneration: 3, conditions })).toEqual([]);
  return result;
}

const progress = (over: Partial<BackfillProgress> = {}): BackfillProgress => ({
  phase: 'Running',
  total: 31,
  succeeded: 10,
  failed: 1,
  skipped: 2,
  active: 4,
  counts: { files: 3, bytes: 5000, read: 700, transformed: 700, skipped: 0, failed: 0, unsupported: 0, rows: {} },
  failures: [],
  maxActiveRuns: 4,
  attempt: 1,
  startedAt: '2026-05-06T07:00:00Z',
  ...over,
});
const running = (over: Partial<BackfillProgress> = {}, attempt = 1): BackfillState => ({
  state: 'running',
  startedAt: NOW - 60_000,
  attempt,
  progress: progress(over),
});
const silent: BackfillState = {
  state: 'running',
  startedAt: NOW - 60_000,
  attempt: 1,
  silent: true,
  blockedBy: { reason: 'NoWorker', message: 'no worker answers for the workflow', workflowID: ID },
};
const ended = (over: Partial<BackfillProgress> = {}): BackfillState => ({
  state: 'ended',
  startedAt: NOW - 7_200_000,
  endedAt: NOW - 3_600_000,
  attempt: 1,
  ending: 'COMPLETED',
  message: '',
  result: progress({
    phase: 'Complete',
    active: 0,
    failed: 0,
    succeeded: 29,
    finishedAt: new Date(NOW - 3_600_000).toISOString(),
    ...over,
  }),
});
const terminated: BackfillState = {
  state: 'ended',
  startedAt: NOW - 7_200_000,
  endedAt: NOW - 3_600_000,
  attempt: 1,
  ending: 'TERMINATED',
  message: 'by hand',
};
const effects = (result: BackfillPlan) =>
  result.actions.map(action => (action.do === 'update' ? action.message : action.do));

describe('beginning', () => {
  test('the finalizer comes before any effect', () => {
    const result = plan({ metadata: { finalizers: [] } });
    expect(result.actions).toEqual([{ do: 'addFinalizer' }]);
    expect(result.summary.reason).toBe('Accepted');
  });

  test('a workflow starts with the complete spec, its filter in normal form', () => {
    const result = plan({
      spec: { probeCC: ['us', 'IT', 'it'], testNames: ['web_connectivity'], suspend: true, dryRun: true },
    });
    expect(result.actions).toEqual([
      {
        do: 'start',
        workflowID: ID,
        attempt: 1,
        again: false,
        input: {
          installation: 'ooni',
          startAt: '2024-01-01',
          endAt: '2024-02-01',
          granularity: 'Day',
          filter: { probeCC: ['IT', 'US'], testNames: ['webconnectivity'] },
          filterID: 'it.us-webconnectivity',
          stages: ['Observations', 'Analysis'],
          order: 'OldestFirst',
          reprocess: 'None',
          maxActiveRuns: 4,
          suspended: true,
          dryRun: true,
          attempt: 1,
        },
      },
    ]);
    expect(result.summary).toMatchObject({ kind: 'working', reason: 'Starting' });
  });

  test('an invalid spec starts nothing, and the message says what to change', () => {
    const result = plan({ spec: { startAt: '2024-02-30' } });
    expect(result.actions).toEqual([]);
    expect(result.summary).toMatchObject({ kind: 'stalled', reason: 'InvalidSpec' });
    expect(result.summary.message).toContain('spec.startAt "2024-02-30"');
  });

  test('a range in the future waits for its first bucket', () => {
    const result = plan({ spec: { startAt: '2026-05-06', endAt: '2026-05-08' } });
    expect(result.actions).toEqual([]);
    expect(result.summary).toMatchObject({ kind: 'ready', reason: 'RangeIncomplete' });
    expect(result.after).toBeGreaterThan(0);
    const next = plan({ spec: { startAt: '2026-05-06', endAt: '2026-05-08' } }, Date.parse('2026-05-07T00:00:00Z'));
    expect(effects(next)).toEqual(['start']);
  });

  test('the range may begin with the last complete hour', () => {
    const spec = { granularity: 'Hour', startAt: '2026-05-06T06', endAt: '2026-05-07T00' } as const;
    expect(effects(plan({ spec }))).toEqual(['start']);
    expect(plan({ spec: { ...spec, startAt: '2026-05-06T07' } }).summary.reason).toBe('RangeIncomplete');
  });
});

describe('a filter with unknown names', () => {
  const spec = { probeCC: ['XX', 'uk'], testNames: ['web_conectivity', 'signal'] };
  const expected = {
    type: 'Warning',
    status: 'True',
    reason: 'UnknownName',
    message:
      'spec.probeCC: "XX" is not a known country code. spec.probeCC: "uk" is not a known country code; did you mean GB? ' +
      'spec.testNames: "web_conectivity" is not a known test; did you mean web_connectivity? ' +
      'Such a name probably selects no measurements.',
  };

  test.each([
    ['from the beginning', {}],
    ['while it runs', { workflow: running() }],
    ['with Temporal away', { workflow: 'away' as const }],
    ['at the end', { workflow: ended() }],
  ])('causes a warning %s, and changes nothing else', (_, what) => {
    const { own, actions } = plan({ spec, ...what });
    expect(own).toContainEqual(expected);
    expect(actions).toEqual(plan(what).actions.map(action => ('input' in action ? expect.anything() : action)));
  });

  test('gives way to a warning about the result, so that this has an event, too', () => {
    const counts = { files: 0, bytes: 0, read: 0, transformed: 0, skipped: 0, failed: 0, unsupported: 0, rows: {} };
    const workflow = ended({ counts, plan: { buckets: 31, toRun: 31, skipped: {} } });
    const condition = plan({ spec, workflow }).own.find(({ type }) => type === 'Warning');
    expect(condition?.reason).toBe('NothingMatched');
    expect(condition?.message).toContain('did you mean web_connectivity?');
  });

  test('lists at most ten unknown names', () => {
    const testNames = Array.from({ length: 100 }, (_, i) => `nothing_of_the_kind_${i}`);
    const [condition] = plan({ spec: { testNames }, workflow: running() }).own;
    expect(condition?.message.match(/is not a known test/g)).toHaveLength(10);
    expect(condition?.message).toContain('90 more names are not known.');
  });

  test('becomes a warning event', () => {
    const conditions = merge(
      undefined,
      desiredConditions({ kind: 'ready', reason: 'Started', message: 'm' }, [expected as never]),
      1,
      NOW,
    );
    expect(transitions(undefined, conditions)).toContainEqual({
      type: 'Warning',
      reason: 'UnknownName',
      message: expected.message,
    });
  });

  test('has no warning while the resource is being deleted', () => {
    expect(plan({ spec, metadata: { deletionTimestamp: 'x' } }).own).toEqual([]);
  });
});

describe('while Temporal is unavailable', () => {
  test.each([
    ['nothing is started', {}],
    [
      'nothing is declared of a running one',
      { status: { workflowID: ID, startedAt: 'x', phase: 'Running' } as BackfillStatus },
    ],
    ['nothing is cancelled', { spec: { cancel: 'Now' as const } }],
  ])('%s', (_, what) => {
    const result = plan({ ...what, workflow: 'away' });
    expect(result.actions).toEqual([]);
    expect(result.summary).toMatchObject({ kind: 'unknown', reason: 'TemporalUnavailable' });
  });

  test('deletion waits, and the message names the remedy', () => {
    const result = plan({ metadata: { deletionTimestamp: 'x' }, workflow: 'away' });
    expect(result.actions).toEqual([]);
    expect(result.summary.message).toContain('pipeline.ooni.org/abandon: "true"');
  });

  test('deletion with the annotation removes the finalizer', () => {
    const metadata = { deletionTimestamp: 'x', annotations: { 'pipeline.ooni.org/abandon': 'true' } };
    expect(plan({ metadata, workflow: 'away' }).actions).toEqual([{ do: 'removeFinalizer' }]);
  });

  test('the status keeps the progress', () => {
    const before = { phase: 'Running', progress: { total: 31, succeeded: 10 }, bytes: 5 } as BackfillStatus;
    const observed = given({ status: before, workflow: 'away' });
    const status = backfillStatus(observed, planBackfill(observed, 'ooni', NOW), {
      samples: [],
      installation: 'ooni',
      ui: { url: '', namespace: 'default' },
      now: NOW,
    });
    expect(status).toMatchObject(before);
  });
});

describe('cancelled before it began', () => {
  test.each(['Drain', 'Now'] as const)('%s starts nothing', cancel => {
    const what = { spec: { cancel } };
    const result = plan(what);
    expect(result.actions).toEqual([]);
    expect(result.summary).toMatchObject({ kind: 'ready', reason: 'Ended' });
    expect(result.own).toMatchObject([
      { type: 'Failed', reason: 'Cancelled', message: expect.stringContaining('before it began') },
    ]);
    const observed = given(what);
    const status = backfillStatus(observed, result, {
      samples: [],
      installation: 'ooni',
      ui: { url: '', namespace: 'default' },
      now: NOW,
    });
    expect(status.phase).toBe('Cancelled');
    expect(plan({ ...what, status: { ...status, conditions: [] } as BackfillStatus }).actions).toEqual([]);
  });
});

describe('while it runs', () => {
  test('no message is sent when the workflow is as desired', () => {
    const result = plan({ workflow: running() });
    expect(result.actions).toEqual([]);
    expect(result.summary).toMatchObject({ kind: 'ready', reason: 'Started' });
    expect(result.after).toBeLessThanOrEqual(5000);
  });

  test.each([
    ['suspend', { suspend: true }, running(), [{ name: 'pause' }]],
    ['suspend, already so', { suspend: true }, running({ phase: 'Suspended' }), []],
    ['the end of a suspension', {}, running({ phase: 'Suspended' }), [{ name: 'resume' }]],
    ['suspend while it plans, already so', { suspend: true }, running({ phase: 'Planning', suspended: true }), []],
    [
      'suspend while it plans',
      { suspend: true },
      running({ phase: 'Planning', suspended: false }),
      [{ name: 'pause' }],
    ],
    ['suspend while a worker of an older version plans', { suspend: true }, running({ phase: 'Planning' }), []],
    ['another window', { maxActiveRuns: 9 }, running(), [{ name: 'resize', maxActiveRuns: 9 }]],
    ['another attempt', { attempt: 2 }, running(), [{ name: 'retryFailed', attempt: 2 }]],
    ['another attempt, already so', { attempt: 2 }, running({ attempt: 2 }), []],
    ['drain', { cancel: 'Drain' as const }, running(), [{ name: 'cancel', mode: 'Drain' }]],
    ['drain, already so', { cancel: 'Drain' as const }, running({ phase: 'Draining' }), []],
    ['now after drain', { cancel: 'Now' as const }, running({ phase: 'Draining' }), [{ name: 'cancel', mode: 'Now' }]],
    ['now, already so', { cancel: 'Now' as const }, running({ phase: 'Cancelling' }), []],
    [
      'cancel comes before suspend',
      { cancel: 'Drain' as const, suspend: true },
      running({ phase: 'Suspended' }),
      [{ name: 'cancel', mode: 'Drain' }],
    ],
    ['pause before resize', { suspend: true, maxActiveRuns: 9 }, running(), [{ name: 'pause' }]],
    ['nothing while no worker answers', { maxActiveRuns: 9 }, silent, []],
    ['cancel although no worker answers', { cancel: 'Now' as const }, silent, [{ name: 'cancel', mode: 'Now' }]],
  ])('%s', (_, spec, workflow, expected) => {
    expect(effects(plan({ spec, workflow }))).toEqual(expected);
  });

  test.each([
    [
      'ArchiveMissing',
      'Retrying',
      /2024-01-11 is being retried: ArchiveMissing: there is no directory \/mnt\. 13 of 31/,
    ],
    ['NoWorker', 'NoWorker', /2024-01-11 waits for a worker that takes Activities/],
    ['ArchiveSlow', 'ArchiveSlow', /2024-01-11 waits for the archive: there is no directory \/mnt\. 13 of 31/],
  ])('%s is reported, and the report ends with its cause', (reason, expected, message) => {
    const oldest = { bucket: '2024-01-11', workflowID: 'ooni/ALLCCS-ALLTNS/2024-01-11' };
    const blockedBy = { reason, message: 'there is no directory /mnt' };
    const workflow = { ...running({ oldest }), blockedBy: { ...oldest, ...blockedBy } };
    expect(plan({ workflow }).summary).toMatchObject({ kind: 'ready', reason: expected });
    expect(plan({ workflow }).summary.message).toMatch(message);
    const observed = given({ workflow });
    const ui = { url: 'http://ui', namespace: 'default' };
    const status = backfillStatus(observed, planBackfill(observed, 'ooni', NOW), {
      samples: [],
      installation: 'ooni',
      ui,
      now: NOW,
    });
    const link = 'http://ui/namespaces/default/workflows/ooni%2FALLCCS-ALLTNS%2F2024-01-11';
    expect(status.blockedBy).toEqual({ bucket: '2024-01-11', ...blockedBy, link });
    const later = given({ workflow: running({ oldest }), status: { blockedBy: status.blockedBy } as BackfillStatus });
    expect(
      backfillStatus(later, planBackfill(later, 'ooni', NOW), { samples: [], installation: 'ooni', ui, now: NOW })
        .blockedBy,
    ).toBeUndefined();
  });

  test('a message that wraps the message of ClickHouse has no brackets within brackets', () => {
    const oldest = { bucket: '2024-01-11', workflowID: 'ooni/ALLCCS-ALLTNS/2024-01-11' };
    const message =
      'ClickHouse rejected the statement: (total) memory limit exceeded: would use 1.46 GiB (attempt to allocate chunk of 4.00 MiB) (code 241, MEMORY_LIMIT_EXCEEDED)';
    const blockedBy = { ...oldest, reason: 'ClickHouseUnavailable', message };
    const workflow = { ...running({ oldest }), blockedBy };
    const { summary } = plan({ workflow });
    expect(summary.message).toBe(
      `2024-01-11 is being retried: ClickHouseUnavailable: ${message}. 13 of 31 buckets done (1 failed, 2 skipped), 4 active.`,
    );
    expect(summary.message).not.toMatch(/\([^()]*\(/);
  });

  test('the status reports at once that a workflow without a worker does not progress', () => {
    const { summary } = plan({ workflow: silent });
    expect(summary).toMatchObject({ kind: 'ready', reason: 'NoWorker' });
    expect(summary.message).toContain('WorkerPool that takes Workflows');
    const observed = given({ workflow: silent, status: { phase: 'Running', bytes: 5 } as BackfillStatus });
    const status = backfillStatus(observed, planBackfill(observed, 'ooni', NOW), {
      samples: [],
      installation: 'ooni',
      ui: { url: '', namespace: 'x' },
      now: NOW,
    });
    expect(status).toMatchObject({ phase: 'Running', bytes: 5, blockedBy: { reason: 'NoWorker' } });
  });

  test('the message keeps the last figures of a workflow whose progress cannot be read', () => {
    const { progress: _, ...unread } = running() as Extract<BackfillState, { state: 'running' }>;
    const figures = { total: 31, succeeded: 8, failed: 0, skipped: 5, active: 2, percent: 41, done: '13/31' };
    const status = { phase: 'Running', progress: figures } as BackfillStatus;
    expect(plan({ workflow: unread, status }).summary).toMatchObject({
      reason: 'Started',
      message: '13 of 31 buckets were done (0 failed, 5 skipped) when the workflow last reported its progress.',
    });
    // The figures of a Backfill that had ended are those of the attempt before.
    const over = { ...status, phase: 'Complete', finishedAt: '2026-01-01T00:00:00Z' } as BackfillStatus;
    for (const before of [undefined, over]) {
      expect(plan({ workflow: unread, ...(before && { status: before }) }).summary.message).toBe(
        'The workflow has started and has not reported its progress yet.',
      );
    }
  });

  test('a failing plan is reported as well', () => {
    const blockedBy = { reason: 'NoWorker', message: 'no worker has taken it', workflowID: ID };
    const workflow = { ...running({ phase: 'Planning', active: 0 }), blockedBy };
    expect(plan({ workflow }).summary).toMatchObject({
      kind: 'ready',
      reason: 'NoWorker',
      message: expect.stringContaining('The plan waits for a worker'),
    });
  });

  test('a message whose effect somebody undid in Temporal is sent again, once', () => {
    const keyAfter = (messages: number) => {
      const [action] = plan({ spec: { suspend: true }, workflow: running({ messages }) }).actions;
      return action?.do === 'update' ? action.key : undefined;
    };
    // 1: the resume by hand.
    expect(keyAfter(1)).not.toBe(keyAfter(0));
    expect(keyAfter(1)).toBe(keyAfter(1));
  });

  test('a backfill whose last buckets are active is read sooner, unless they take long', () => {
    const nextRead = (over: Partial<BackfillProgress>, stillFor: number) =>
      planBackfill({ ...given({ workflow: running(over) }), stillFor }, 'ooni', NOW).after;
    expect(nextRead({}, 0)).toBe(3_000);
    expect(nextRead({ succeeded: 24 }, 0)).toBe(1_000);
    expect(nextRead({ succeeded: 24 }, 10_000)).toBe(3_000);
    // The plan is not made.
    expect(nextRead({ phase: 'Planning', total: 0, succeeded: 0, failed: 0, skipped: 0, active: 0 }, 0)).toBe(3_000);
  });

  test('a backfill whose runs do not progress has its own reason', () => {
    const oldest = { bucket: '2024-01-11', workflowID: 'ooni/ALLCCS-ALLTNS/2024-01-11' };
    const progressing = given({ workflow: running({ oldest }) });
    expect(planBackfill(progressing, 'ooni', NOW).summary).toMatchObject({ kind: 'ready', reason: 'Started' });
    const still = { ...progressing, stillSince: Date.parse('2026-05-06T07:01:02Z') };
    const plan = planBackfill(still, 'ooni', NOW);
    expect(plan.summary).toMatchObject({ kind: 'ready', reason: 'NotProgressing' });
    expect(plan.summary.message).toMatch(
      /No run has progressed since 2026-05-06T07:01:02Z, although 4 are active.*2024-01-11/,
    );
    const context = { samples: [], installation: 'ooni', ui: { url: '', namespace: '' }, now: NOW };
    expect(backfillStatus(still, plan, context)).toMatchObject({ noProgressSince: '2026-05-06T07:01:02Z' });
    expect(backfillStatus(progressing, plan, context)).not.toHaveProperty('noProgressSince');
  });

  test('equal messages have equal keys, so that Temporal accepts them once', () => {
    const [first] = plan({ spec: { suspend: true }, workflow: running() }).actions;
    const [second] = plan({ spec: { suspend: true }, workflow: running({ succeeded: 11 }) }).actions;
    expect(first).toEqual(second);
  });
});

describe('ended', () => {
  test.each([
    ['all done', {}, ended(), 'Complete', 'AllBucketsDone'],
    ['cancelled by the spec', { cancel: 'Now' as const }, ended({ phase: 'Cancelled' }), 'Failed', 'Cancelled'],
  ])('it is ready after an end that the spec asks for (%s)', (_, spec, workflow, type, reason) => {
    const result = plan({ spec, workflow });
    expect(result.actions).toEqual([]);
    expect(result.summary).toMatchObject({ kind: 'ready', reason: 'Ended' });
    expect(result.own).toMatchObject([{ type, status: 'True', reason }]);
  });

  test.each([
    ['some failed', ended({ phase: 'Failed', failed: 2 }), 'BucketsFailed'],
    ['cancelled in Temporal', ended({ phase: 'Cancelled' }), 'Cancelled'],
    ['terminated by hand', terminated, 'WorkflowFailed'],
  ])('it waits for a person after another end (%s)', (_, workflow, reason) => {
    const result = plan({ workflow });
    expect(result.actions).toEqual([]);
    expect(result.summary).toMatchObject({ kind: 'stalled', reason });
    expect(result.own).toMatchObject([{ type: 'Failed', status: 'True', reason }]);
    expect(result.summary.message).toBe(result.own[0]?.message);
  });

  const planned = (skipped: object, toRun = 0) => ({ plan: { buckets: 31, toRun, skipped } });

  test('the message gives the reasons of skipped buckets, and earlier failures are a warning', () => {
    const workflow = ended({ succeeded: 0, skipped: 31, ...planned({ Completed: 24, FailedBefore: 7 }) });
    const { own } = plan({ workflow });
    expect(own).toMatchObject([
      {
        type: 'Complete',
        message: '0 of 31 buckets succeeded, 0 failed, 31 were skipped (24 Completed, 7 FailedBefore).',
      },
      { type: 'Warning', status: 'True', reason: 'FailedBefore' },
    ]);
    expect(own[1]?.message).toContain('7 buckets were skipped because the last run failed');
    expect(own[1]?.message).toContain('reprocess: Failed');
  });

  test('buckets that another run processed are a warning, because that run may fail', () => {
    const workflow = ended({ succeeded: 30, skipped: 1, ...planned({ InFlight: 1 }, 30) });
    const [, warning] = plan({ workflow }).own;
    expect(warning).toMatchObject({ type: 'Warning', status: 'True', reason: 'InFlight' });
    expect(warning?.message).toMatch(/^1 bucket was skipped because another run was processing the same bucket/);
    expect(warning?.message).toContain('reprocess: Failed');
  });

  const none = { files: 0, bytes: 0, read: 0, transformed: 0, skipped: 0, failed: 0, unsupported: 0, rows: {} };
  test.each([
    ['nothing matched', { counts: none, ...planned({}, 31) }, {}, 'NothingMatched'],
    [
      'nothing matched, and empty buckets were not run',
      { counts: none, succeeded: 0, ...planned({ Empty: 30, Incomplete: 1 }) },
      {},
      'NothingMatched',
    ],
    ['something matched', planned({}, 31), {}, undefined],
    ['it was done before', { counts: none, ...planned({ Completed: 3 }, 28) }, {}, undefined],
    [
      'only verdicts were asked for',
      { counts: none, ...planned({}, 31) },
      { stages: ['Analysis' as const] },
      undefined,
    ],
    ['buckets failed', { phase: 'Failed' as const, counts: none, ...planned({}, 31) }, {}, undefined],
  ])('%s: the warning is right', (_, result, spec, reason) => {
    const { own } = plan({ spec, workflow: ended(result as Partial<BackfillProgress>) });
    expect(own.find(({ type }) => type === 'Warning')?.reason).toBe(reason);
  });

  test('a dry run whose work is cancelled starts nothing, also when Temporal has removed it', () => {
    const spec = { cancel: 'Drain' } as const;
    const cancelled = [{ type: 'Failed', reason: 'Cancelled', message: expect.stringContaining('no bucket was run') }];
    const workflow = ended({ phase: 'Planned', succeeded: 0 });
    expect(plan({ spec, workflow })).toMatchObject({ actions: [], summary: { kind: 'ready' }, own: cancelled });
    const observed = given({ spec, workflow });
    const context = { samples: [], installation: 'ooni', ui: { url: '', namespace: '' }, now: NOW };
    expect(backfillStatus(observed, plan({ spec, workflow }), context)).toMatchObject({ phase: 'Cancelled' });
    const status: BackfillStatus = { phase: 'Planned', workflowID: ID, startedAt: '2026-05-01T00:00:00Z' };
    expect(plan({ spec, status })).toMatchObject({ actions: [], own: cancelled });
    expect(backfillStatus(given({ spec, status }), plan({ spec, status }), context)).toMatchObject({
      phase: 'Cancelled',
    });
  });

  test('an attempt that was raised before the cancellation starts nothing when Temporal has removed the workflow', () => {
    const lastTransitionTime = '2026-05-02T00:00:00Z';
    const conditions = [
      {
        type: 'Failed',
        status: 'True',
        reason: 'BucketsFailed',
        message: '.',
        observedGeneration: 3,
        lastTransitionTime,
      } as const,
    ];
    const status: BackfillStatus = {
      ...{ phase: 'Failed', workflowID: ID, attempt: 1, conditions },
      ...{ startedAt: '2026-05-01T00:00:00Z', finishedAt: '2026-05-02T00:00:00Z' },
    };
    expect(plan({ spec: { attempt: 2, cancel: 'Now' }, status }).actions).toEqual([]);
    expect(plan({ spec: { attempt: 2 }, status }).actions).toMatchObject([{ do: 'start' }]);
  });

  test('a dry run is complete, and the backfill starts when dryRun becomes false', () => {
    const figures = { buckets: 31, toRun: 20, skipped: { Completed: 4, InFlight: 7 }, bytes: 1_234_500_000 };
    const workflow = ended({ phase: 'Planned', succeeded: 0, skipped: 11, plan: figures });
    expect(plan({ spec: { dryRun: true }, workflow }).own[0]?.message).toContain(
      '20 of 31 buckets would be run (1,234.5 MB of the archive), 11 skipped (4 Completed, 7 InFlight)',
    );
    expect(plan({ spec: { dryRun: true }, workflow }).own).toMatchObject([{ type: 'Complete', reason: 'Planned' }]);
    expect(plan({ workflow }).actions).toMatchObject([{ do: 'start', again: true, input: { dryRun: false } }]);
  });

  test('a higher attempt starts it again, except after a cancellation', () => {
    const workflow = ended({ phase: 'Failed', failed: 2 });
    expect(plan({ spec: { attempt: 2 }, workflow }).actions).toMatchObject([
      { do: 'start', again: true, input: { attempt: 2 } },
    ]);
    expect(plan({ spec: { attempt: 2, cancel: 'Drain' }, workflow }).actions).toEqual([]);
    expect(plan({ spec: { attempt: 2 }, workflow: ended({ attempt: 2 }) }).actions).toEqual([]);
  });

  test('the resource is deleted after ttlAfterFinished, not before', () => {
    expect(plan({ spec: { ttlAfterFinished: '1h' }, workflow: ended() }).actions).toEqual([{ do: 'delete' }]);
    const waiting = plan({ spec: { ttlAfterFinished: '90m' }, workflow: ended() });
    expect(waiting.actions).toEqual([]);
    expect(waiting.after).toBe(1_800_000);
  });

  test.each([
    [
      'one that came to its end tries its failed buckets',
      ended({ phase: 'Failed', failed: 2 }),
      'None',
      { attempt: 2, reprocess: 'None' },
    ],
    ['one ended by hand takes what it never began too', terminated, 'None', { attempt: 1, reprocess: 'Failed' }],
    ['one cancelled in Temporal as well', ended({ phase: 'Cancelled' }), 'None', { attempt: 1, reprocess: 'Failed' }],
    [
      'one that replaces everything continues where it was',
      terminated,
      'All',
      { attempt: 1, reprocess: 'All', since: NOW - 7_200_000 },
    ],
  ] as const)('a further attempt of %s', (_, workflow, reprocess, input) => {
    const result = plan({ spec: { attempt: 2, reprocess }, workflow });
    expect(result.actions).toMatchObject([{ do: 'start', again: true, attempt: 2, input }]);
  });

  test('a first start runs the buckets that reprocess selects, whatever its attempt', () => {
    expect(plan({ spec: { attempt: 5 } }).actions).toMatchObject([{ do: 'start', attempt: 5, input: { attempt: 1 } }]);
    const workflow = { ...(running() as Extract<BackfillState, { state: 'running' }>), attempt: 5 };
    expect(plan({ spec: { attempt: 5 }, workflow }).actions).toEqual([]);
    expect(plan({ spec: { attempt: 6 }, workflow }).actions).toMatchObject([
      { message: { name: 'retryFailed', attempt: 6 } },
    ]);
  });

  test('a backfill with a workflow beyond retention keeps its result and is not started again', () => {
    const status = {
      workflowID: ID,
      startedAt: '2026-01-01T00:00:00Z',
      finishedAt: '2026-01-02T00:00:00Z',
      phase: 'Complete',
      conditions: [
        {
          type: 'Complete',
          status: 'True',
          reason: 'AllBucketsDone',
          message: 'm',
          observedGeneration: 3,
          lastTransitionTime: '2026-01-02T00:00:00Z',
        },
      ],
    } as BackfillStatus;
    const result = plan({ status });
    expect(result.actions).toEqual([]);
    expect(result.own).toMatchObject([{ type: 'Complete', reason: 'AllBucketsDone' }]);
  });

  const seenAt = '2026-05-06T07:00:00Z';
  const lost = { workflowID: ID, startedAt: '2026-05-01T00:00:00Z', phase: 'Running', seenAt } as BackfillStatus;

  test('a workflow that ran a moment ago cannot have expired: its state is unknown, and nothing is deleted', () => {
    const result = plan({ status: lost, spec: { ttlAfterFinished: '1s' } });
    expect(result).toMatchObject({ actions: [], own: [], summary: { kind: 'unknown', reason: 'WorkflowLost' } });
    const status = backfillStatus(given({ status: lost }), result, {
      samples: [],
      installation: 'ooni',
      ui: { url: '', namespace: '' },
      now: NOW,
    });
    expect(status).toMatchObject({ phase: 'Running', seenAt });
    expect(status.finishedAt).toBeUndefined();
    // The passage of time does not turn a lost workflow into an expired one.
    const conditions = merge(undefined, desiredConditions(result.summary), 3, NOW);
    expect(plan({ status: { ...lost, conditions } }, NOW + 90 * 86_400_000).summary.reason).toBe('WorkflowLost');
    expect(plan({ status: lost, spec: { attempt: 2 } }).actions).toMatchObject([{ do: 'start', again: true }]);
  });

  test('the time until the deletion begins at the end, and is recorded when nobody saw the end', () => {
    const later = NOW + 7 * 86_400_000;
    const spec = { ttlAfterFinished: '1h' };
    const observed = given({ status: lost, spec });
    const result = planBackfill(observed, 'ooni', later);
    expect(result).toMatchObject({ actions: [], own: [{ reason: 'ResultExpired' }], after: 3_600_000 });
    const status = backfillStatus(observed, result, {
      samples: [],
      installation: 'ooni',
      ui: { url: '', namespace: '' },
      now: later,
    });
    expect(Date.parse(status.finishedAt ?? '')).toBe(later - (later % 1000));
    const before = { ...status, conditions: merge(undefined, result.own, 3, later) } as BackfillStatus;
    expect(plan({ status: before, spec }, later + 3_000_000).actions).toEqual([]);
    expect(plan({ status: before, spec }, later + 3_601_000).actions).toEqual([{ do: 'delete' }]);
  });

  test('an end without a recorded time does not count from the start', () => {
    const status = { workflowID: ID, startedAt: '2026-01-01T00:00:00Z', phase: 'Complete' } as BackfillStatus;
    expect(plan({ status, spec: { ttlAfterFinished: '24h' } }).actions).toEqual([]);
  });

  test('a backfill that replaces everything keeps the time of its first start', () => {
    const workflow = { ...terminated, startedAt: NOW - 50_000_000 } as BackfillState;
    const result = plan({ spec: { attempt: 2, reprocess: 'All' }, workflow });
    expect(result.actions).toMatchObject([{ startedAt: NOW - 50_000_000, input: { since: NOW - 50_000_000 } }]);
    expect(plan({ spec: { reprocess: 'All' } }).actions).not.toMatchObject([{ startedAt: expect.anything() }]);
    const expired = { ...lost, seenAt: undefined, phase: 'Failed' as const };
    expect(plan({ spec: { attempt: 2, reprocess: 'All' }, status: expired }).actions).toMatchObject([
      { input: { since: Date.parse('2026-05-01T00:00:00Z') } },
    ]);
  });

  test('a workflow that vanished while it ran does not count as never started', () => {
    const status = {
      workflowID: ID,
      startedAt: '2026-01-01T00:00:00Z',
      phase: 'Running',
      attempt: 1,
    } as BackfillStatus;
    const result = plan({ status });
    expect(result.actions).toEqual([]);
    expect(result.own).toMatchObject([{ type: 'Failed', reason: 'ResultExpired' }]);
    expect(plan({ status, spec: { attempt: 2 } }).actions).toMatchObject([{ do: 'start', again: true }]);
  });
});

describe('deleted', () => {
  const metadata = { deletionTimestamp: 'x' };
  test.each([
    ['a running one is drained first', running(), ['drain', 'removeFinalizer']],
    ['one that drains may go', running({ phase: 'Draining' }), ['removeFinalizer']],
    ['one that is being cancelled may go', running({ phase: 'Cancelling' }), ['removeFinalizer']],
    ['one that has ended may go', ended(), ['removeFinalizer']],
    ['one that never began may go', { state: 'absent' } as BackfillState, ['removeFinalizer']],
    ['one whose workers are silent gets a signal that waits for them', silent, ['drain', 'removeFinalizer']],
  ])('%s', (_, workflow, expected) => {
    expect(effects(plan({ metadata, workflow }))).toEqual(expected);
  });

  test('without our finalizer no action is needed', () => {
    expect(plan({ metadata: { ...metadata, finalizers: ['other'] }, workflow: running() }).actions).toEqual([]);
  });

  test('an invalid resource can be deleted', () => {
    expect(plan({ metadata, spec: { startAt: 'x' } }).actions).toEqual([{ do: 'removeFinalizer' }]);
  });
});

describe('status', () => {
  const ui = { url: 'http://ui/', namespace: 'default' };
  const statusOf = (what: Given) => {
    const observed = given(what);
    return backfillStatus(observed, planBackfill(observed, 'ooni', NOW), {
      samples: [],
      installation: 'ooni',
      ui,
      now: NOW,
    });
  };

  test('has progress, failures with links, and nothing that grows without limit', () => {
    const failures = Array.from({ length: 12 }, (_, i) => ({
      bucket: `2024-01-${i + 10}`,
      reason: 'ArchiveMissing',
      message: 'x'.repeat(600),
      workflowID: `ooni/ALLCCS-ALLTNS/2024-01-${i + 10}`,
    }));
    const plan = { buckets: 31, toRun: 29, skipped: { Completed: 1, InFlight: 1 } };
    const status = statusOf({ workflow: running({ failures, plan }) });
    expect(status.progress).toEqual({
      total: 31,
      succeeded: 10,
      failed: 1,
      skipped: 2,
      skippedFor: '1 Completed, 1 InFlight',
      active: 4,
      percent: 41,
      done: '13/31',
    });
    expect(status).toMatchObject({ phase: 'Running', bytes: 5000, measurements: 700, workflowID: ID });
    expect(status.failures).toHaveLength(10);
    expect(status.failures?.[9]).toMatchObject({
      bucket: '2024-01-21',
      link: 'http://ui/namespaces/default/workflows/ooni%2FALLCCS-ALLTNS%2F2024-01-21',
    });
    expect(status.failures?.[9]?.message).toHaveLength(500);
  });

  test('a new attempt drops the end of the previous one', () => {
    const before = { phase: 'Failed', finishedAt: '2026-01-01T00:00:00Z' } as BackfillStatus;
    const status = statusOf({ status: before, workflow: silent });
    expect(status.phase).toBe('Pending');
    expect(status.finishedAt).toBeUndefined();
  });

  test('an ended backfill without buckets is at 100 percent', () => {
    const status = statusOf({ workflow: ended({ total: 0, succeeded: 0, skipped: 0 }) });
    expect(status.progress).toMatchObject({ percent: 100, done: '0/0' });
  });
});

describe('whose end the status has', () => {
  const counts = { files: 0, bytes: 0, read: 0, transformed: 0, skipped: 0, failed: 0, unsupported: 0, rows: {} };
  const figures = { buckets: 31, toRun: 0, skipped: { FailedBefore: 7 } };
  test.each([
    ['complete', {}, ended()],
    ['failed', {}, ended({ phase: 'Failed', failed: 2 })],
    ['cancelled', { cancel: 'Now' as const }, ended({ phase: 'Cancelled' })],
    ['a dry run', { dryRun: true }, ended({ phase: 'Planned', succeeded: 0 })],
    ['with skipped buckets', {}, ended({ plan: figures, skipped: 7 })],
    [
      'without matching objects',
      { testNames: ['web_conectivity'] },
      ended({ counts, plan: { ...figures, skipped: {} } }),
    ],
    ['terminated', {}, terminated],
  ])('is not looked up in Temporal again, and stays as it is: %s', (_, spec, workflow) => {
    const first = given({ spec, workflow });
    const seen = planBackfill(first, 'ooni', NOW);
    const context = { samples: [], installation: 'ooni', ui: { url: '', namespace: '' }, now: NOW };
    const conditions = merge(undefined, desiredConditions(seen.summary, seen.own), 3, NOW);
    const status = { ...backfillStatus(first, seen, context), observedGeneration: 3, conditions };
    const object = { ...first.object, metadata: { ...first.object.metadata, generation: 3 }, status };
    expect(hasRecordedEnd(object)).toBe(true);
    const settled = { ...first, object, workflow: { known: true, value: { state: 'absent' } } as const };
    const again = planBackfill(settled, 'ooni', NOW + 60_000);
    expect(again.actions).toEqual([]);
    expect(merge(conditions, desiredConditions(again.summary, again.own), 3, NOW + 60_000)).toEqual(conditions);
    expect(backfillStatus(settled, again, context)).toEqual({
      ...status,
      observedGeneration: undefined,
      conditions: undefined,
    });
    expect(hasRecordedEnd({ ...object, metadata: { ...object.metadata, generation: 4 } })).toBe(false);
    expect(hasRecordedEnd({ ...object, metadata: { ...object.metadata, deletionTimestamp: 'now' } })).toBe(false);
  });
});

describe('restored in another cluster', () => {
  const restored = (since: string, reprocess: 'All' | 'None') =>
    plan({ spec: { reprocess }, metadata: { annotations: { 'pipeline.ooni.org/completed-since': since } } });
  const since = Date.parse('2026-05-01T00:00:00Z');

  test('does not replace the buckets again that were replaced since', () => {
    expect(restored('2026-05-01T00:00:00Z', 'All').actions).toMatchObject([
      { do: 'start', again: false, startedAt: since, input: { reprocess: 'All', since } },
    ]);
  });

  test('takes completed buckets from the ledger in any case, when it does not replace', () => {
    const [action] = restored('2026-05-01T00:00:00Z', 'None').actions;
    expect(action).toMatchObject({ do: 'start', input: { reprocess: 'None' } });
    expect(action?.do === 'start' && 'since' in action.input).toBe(false);
  });

  test('with an invalid instant starts nothing', () => {
    const { actions, summary } = restored('in May', 'All');
    expect(actions).toEqual([]);
    expect(summary).toMatchObject({ kind: 'stalled', reason: 'InvalidSpec' });
    expect(summary.message).toContain('completed-since = "in May" is not an instant');
  });
});
