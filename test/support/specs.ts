/**
 * Specs and what shall be said of them, for both judges: the zod schemas (crds/specs.test.ts) and a real API server
 * (test/integration/crds.test.ts). `refused` is a part of the message; `by` who can tell ('operator': only the operator, the API
 * server takes it).
 */
export interface SpecCase {
  readonly kind: 'Backfill' | 'PipelineSchedule' | 'WorkerPool';
  readonly what: string;
  readonly spec: Record<string, unknown>;
  readonly refused?: string;
  readonly by?: 'both' | 'operator';
}

const backfill = (what: string, spec: object, refused?: string): SpecCase => ({
  kind: 'Backfill',
  what,
  spec: { startAt: '2024-01-01', endAt: '2024-02-01', ...spec },
  refused,
});
const schedule = (what: string, spec: object, refused?: string, by: 'both' | 'operator' = 'both'): SpecCase => ({
  kind: 'PipelineSchedule',
  what,
  spec: { schedule: '0 2 * * *', ...spec },
  refused,
  by,
});
const pool = (what: string, spec: object, refused?: string, by: 'both' | 'operator' = 'both'): SpecCase => ({
  by,
  kind: 'WorkerPool',
  what,
  spec: { ...spec },
  refused,
});

export const SPECS: readonly SpecCase[] = [
  backfill('a month of days', {}),
  backfill('hours', { granularity: 'Hour', startAt: '2024-02-28T22', endAt: '2024-03-01T00' }),
  backfill('hours given as days', { granularity: 'Hour' }),
  backfill('a leap day', { startAt: '2024-02-29', endAt: '2024-03-01' }),
  backfill('a leap day of a century that has one', { startAt: '2400-02-29', endAt: '2400-03-01' }),
  backfill('the last day of the longest months', { startAt: '2024-01-31', endAt: '2024-12-31' }),
  backfill('everything set', {
    stages: ['Analysis'],
    probeCC: ['it', 'US'],
    testNames: ['web_connectivity', 'signal'],
    order: 'NewestFirst',
    reprocess: 'All',
    maxActiveRuns: 200,
    suspend: true,
    cancel: 'Now',
    attempt: 1000,
    dryRun: true,
    ttlAfterFinished: '1h30m',
  }),
  backfill('no time to live, written out', { ttlAfterFinished: null }),
  backfill('no start', { startAt: undefined }, 'startAt'),
  backfill('no such day in February', { startAt: '2024-02-30', endAt: '2024-03-01' }, 'is no day of the calendar'),
  backfill('no leap year', { startAt: '2023-02-29', endAt: '2023-03-01' }, 'is no day of the calendar'),
  backfill('a century without leap day', { startAt: '2100-02-29', endAt: '2100-03-01' }, 'is no day of the calendar'),
  backfill('no such day in April', { startAt: '2024-04-31', endAt: '2024-05-02' }, 'is no day of the calendar'),
  backfill('a month 13', { startAt: '2024-13-01', endAt: '2025-02-01' }, 'must be an upload day as YYYY-MM-DD'),
  backfill('a day 0', { startAt: '2024-01-00' }, 'must be an upload day as YYYY-MM-DD'),
  backfill('a time of day', { startAt: '2024-01-01T00:00:00Z' }, 'must be an upload day as YYYY-MM-DD'),
  backfill('slashes', { startAt: '2024/01/01' }, 'must be an upload day as YYYY-MM-DD'),
  backfill('an hour 24', { granularity: 'Hour', startAt: '2024-01-01T24' }, 'must be an upload day as YYYY-MM-DD'),
  backfill('before the archive', { startAt: '2011-12-31' }, "before 2012, when OONI's archive begins"),
  backfill('another century', { startAt: '1999-01-01' }, "before 2012, when OONI's archive begins"),
  backfill('another millennium', { endAt: '9999-01-01' }, 'or beyond 2999'),
  backfill('an hour with days', { startAt: '2024-01-01T05' }, 'needs granularity Hour'),
  backfill('an end hour with days', { endAt: '2024-01-02T05' }, 'needs granularity Hour'),
  backfill('an empty range', { endAt: '2024-01-01' }, 'must lie before endAt'),
  backfill(
    'a day against its own first hour',
    { granularity: 'Hour', endAt: '2024-01-01T00' },
    'must lie before endAt',
  ),
  backfill('a range the wrong way round', { endAt: '2023-01-01' }, 'must lie before endAt'),
  backfill('a country of three letters', { probeCC: ['ITA'] }, 'must be a two-letter country code'),
  backfill('a country of digits', { probeCC: ['IT', '42'] }, 'must be a two-letter country code'),
  backfill('a test name with a blank', { testNames: ['web connectivity'] }, 'must be a test name'),
  backfill('a test name with a dash', { testNames: ['web-connectivity'] }, 'must be a test name'),
  backfill('no stage', { stages: [] }, 'stages'),
  backfill('a stage twice', { stages: ['Analysis', 'Analysis'] }, 'each stage once'),
  backfill('an unknown stage', { stages: ['Observe'] }, 'stages'),
  backfill('an unknown order', { order: 'Random' }, 'order'),
  backfill('no runs at a time', { maxActiveRuns: 0 }, 'maxActiveRuns'),
  backfill('too many runs at a time', { maxActiveRuns: 201 }, 'maxActiveRuns'),
  backfill('half a run', { maxActiveRuns: 1.5 }, 'maxActiveRuns'),
  backfill('an attempt 0', { attempt: 0 }, 'attempt'),
  backfill('an unknown cancel', { cancel: 'Later' }, 'cancel'),
  backfill('days as a duration', { ttlAfterFinished: '7d' }, 'must be a duration such as'),
  backfill('an empty duration', { ttlAfterFinished: '' }, 'must be a duration such as'),
  backfill('a duration out of bounds', { ttlAfterFinished: '0s' }, 'must be between 1s and 87600h'),
  backfill('suspend as text', { suspend: 'yes' }, 'suspend'),

  schedule('every day', {}),
  schedule('names of months and days', { schedule: '*/30 6-18 1,15 JAN-MAR MON-FRI', timeZone: 'Europe/Rome' }),
  schedule('everything set', {
    granularity: 'Hour',
    stages: ['Observations'],
    probeCC: ['US'],
    testNames: ['signal'],
    suspend: true,
    catchUpWindow: '8760h',
    overlap: 'Buffer',
  }),
  schedule('no cron line', { schedule: undefined }, 'schedule'),
  schedule('an unknown overlap', { overlap: 'Maybe' }, 'overlap'),
  schedule('a window too small', { catchUpWindow: '5s' }, 'must be between 10s and 8760h'),
  schedule('four fields', { schedule: '0 2 * *' }, 'must have five fields', 'operator'),
  schedule('six fields', { schedule: '0 0 2 * * *' }, 'must have five fields', 'operator'),
  schedule('a zone in the line', { schedule: 'CRON_TZ=Europe/Rome 0 2 * * *' }, 'must have five fields', 'operator'),
  schedule('an hour 25', { schedule: '0 25 * * *' }, 'is no cron line', 'operator'),
  schedule('what only some crons know', { schedule: '0 2 L * *' }, 'may contain numbers', 'operator'),
  schedule('an unknown day', { schedule: '0 2 * * XYZ' }, 'is no cron line', 'operator'),
  schedule('a day that never comes', { schedule: '0 2 30 2 *' }, 'never fires', 'operator'),
  schedule('an unknown zone', { timeZone: 'Mars/Olympus' }, 'is no time zone', 'operator'),

  pool('a fixed number', { replicas: 2 }),
  pool('none at all', { replicas: 0 }),
  pool('autoscaling', { autoscaling: { maxReplicas: 20 } }),
  pool('everything set', {
    tasks: ['Activities'],
    slots: 4,
    drainTimeout: '10m',
    autoscaling: {
      minReplicas: 1,
      maxReplicas: 20,
      targetUtilization: 70,
      drainWithin: '30m',
      cooldown: '0s',
      scaleUp: { stabilization: '30s', podsPerMinute: 4 },
      scaleDown: { stabilization: '10m', podsPerMinute: 1 },
    },
    template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'worker', image: 'x' }] } },
  }),
  pool('neither replicas nor autoscaling', {}, 'write either replicas'),
  pool('both replicas and autoscaling', { replicas: 1, autoscaling: { maxReplicas: 2 } }, 'write either replicas'),
  pool('fewer than none', { replicas: -1 }, 'replicas'),
  pool('no slots', { replicas: 1, slots: 0 }, 'slots'),
  pool(
    'bounds the wrong way round',
    { autoscaling: { minReplicas: 3, maxReplicas: 2 } },
    'must not exceed maxReplicas',
  ),
  pool('no upper bound', { autoscaling: {} }, 'maxReplicas'),
  pool('no utilisation', { autoscaling: { maxReplicas: 2, targetUtilization: 0 } }, 'targetUtilization'),
  pool('no tasks', { replicas: 1, tasks: [] }, 'tasks'),
  pool('tasks twice', { replicas: 1, tasks: ['Workflows', 'Workflows'] }, 'each kind of task once'),
  pool('a duration without unit', { replicas: 1, drainTimeout: '120' }, 'must be a duration such as'),
  pool('a template that is a text', { replicas: 1, template: 'x' }, 'template'),
  pool('time enough to drain', {
    replicas: 1,
    drainTimeout: '1m',
    template: { spec: { terminationGracePeriodSeconds: 70 } },
  }),
  pool(
    'a pod killed before it has drained',
    { replicas: 1, drainTimeout: '1m', template: { spec: { terminationGracePeriodSeconds: 60 } } },
    'leave it out, or write 70 or more',
    'operator',
  ),
];
