import { expect, test } from 'vitest';
import { PIPELINE_SCHEDULE, type PipelineSchedule } from '../../../crds/pipeline-schedule.ts';
import { SpecError } from '../../../crds/resource.ts';
import { specOf } from '../reconcile.ts';
import {
  decideRun,
  hasEnded,
  type RequestedRunStatus,
  type RunRequest,
  requestedRunStatus,
  runRequestOf,
} from './requested-run.ts';

const NOW = Date.parse('2026-05-06T07:08:09Z');

function request(value: string | undefined, granularity: 'Day' | 'Hour' = 'Day') {
  const object = {
    metadata: {
      name: 'daily',
      namespace: 'data',
      ...(value !== undefined && { annotations: { 'pipeline.ooni.org/run-bucket': value } }),
    },
    spec: { schedule: '0 2 * * *', granularity, probeCC: ['it'], stages: ['Analysis'] },
  } as PipelineSchedule;
  const spec = specOf(PIPELINE_SCHEDULE, object);
  if (spec instanceof SpecError) throw spec;
  return runRequestOf(object, spec, 'ooni', NOW);
}
const problem = (value: string, granularity?: 'Day' | 'Hour') =>
  (request(value, granularity) as { problem?: string } | undefined)?.problem;
const good = request('2026-05-01') as RunRequest;

test('without the annotation nothing is requested', () => {
  expect(request(undefined)).toBeUndefined();
});

test('a request has the settings of the schedule, and an id that depends on its value', () => {
  expect(good).toEqual({
    value: '2026-05-01',
    workflowID: 'ooni/requested/data/daily/2026-05-01',
    input: {
      installation: 'ooni',
      granularity: 'Day',
      filter: { probeCC: ['IT'], testNames: [] },
      filterID: expect.any(String),
      stages: ['Analysis'],
      bucket: '2026-05-01',
    },
  });
  expect(request('2026-05-01#2')).toMatchObject({
    workflowID: 'ooni/requested/data/daily/2026-05-01#2',
    input: { bucket: '2026-05-01' },
  });
  expect(request('2026-05-06T06', 'Hour')).toMatchObject({ input: { bucket: '2026-05-06T06', granularity: 'Hour' } });
});

test.each([
  ['', 'Day', 'is not a bucket; write one such as 2024-01-22'],
  ['2026-05-01T00:00:00Z', 'Day', 'is not a bucket'],
  ['true', 'Day', 'must be an upload day'],
  ['2026-05-01 ', 'Day', 'must be an upload day'],
  ['2026-02-30', 'Day', 'is not a day of the calendar'],
  ['2011-12-31', 'Day', 'lies before 2012'],
  ['2026-05-01#', 'Day', 'is not a bucket; write one such as 2024-01-22'],
  ['2026-05-01#01', 'Day', 'is not a bucket'],
  ['2026-05-01#2#3', 'Day', 'is not a bucket'],
  ['2026-05-01T03', 'Day', 'spec.granularity is Day; write a bucket such as 2024-01-22.'],
  ['2026-05-01', 'Hour', 'spec.granularity is Hour; write a bucket such as 2024-01-22T05.'],
  ['2026-05-06', 'Day', 'is not complete before 2026-05-07T00:00:00Z, and its run starts then'],
  ['2026-05-06T07', 'Hour', 'at the latest 2026-05-06T06.'],
] as const)(
  'the value "%s" with granularity %s is rejected with field, value and remedy',
  (value, granularity, words) => {
    const text = problem(value, granularity);
    expect(text).toContain(`annotation pipeline.ooni.org/run-bucket = ${JSON.stringify(value)} `);
    expect(text).toContain(words);
  },
);

test('a long value is cut in the message', () => {
  expect(problem('x'.repeat(100_000))?.length).toBeLessThan(300);
});

const running = { state: 'Running', startedAt: NOW } as const;
const status = (state: RequestedRunStatus['state'], asked = '2026-05-01'): RequestedRunStatus => ({
  request: asked,
  bucket: '2026-05-01',
  state,
  startedAt: '2026-05-06T07:08:09Z',
  workflowID: `ooni/requested/data/daily/${asked}`,
});
const known = <T>(value: T) => ({ known: true, value }) as const;

test('a run that Temporal does not have is started once', () => {
  const requested = { request: good, run: known(undefined) };
  expect(decideRun(requested, undefined).start).toBe(good);
  // After a crash between the start and the status.
  const again = decideRun({ request: good, run: known(running) }, undefined);
  expect(again).toMatchObject({ running: true, events: [], warnings: [] });
  expect(again.start).toBeUndefined();
});

test('nothing is started while Temporal does not answer', () => {
  const decision = decideRun({ request: good, run: { known: false, message: 'no connection' } }, undefined);
  expect(decision).toEqual({ running: false, warnings: [], events: [] });
});

test('a request whose end is in the status is not started again after Temporal has removed its workflow', () => {
  expect(hasEnded(status('Succeeded'), good)).toBe(true);
  expect(decideRun({ request: good }, status('Succeeded'))).toEqual({ running: false, warnings: [], events: [] });
});

test('a run that disappears from Temporal before its end is reported and not started again', () => {
  const requested = { request: good, run: known(undefined) };
  expect(requestedRunStatus(requested, status('Running'))?.state).toBe('Unknown');
  const decision = decideRun(requested, status('Running'));
  expect(decision.start).toBeUndefined();
  expect(decision.warnings[0]?.message).toContain('To run it again, set the annotation');
});

test('another value is another request', () => {
  const second = request('2026-05-01#2') as RunRequest;
  expect(hasEnded(status('Succeeded'), second)).toBe(false);
  expect(decideRun({ request: second, run: known(undefined) }, status('Failed')).start).toBe(second);
});

test('the end is reported once, in status and event', () => {
  const run = known({ state: 'Succeeded', startedAt: NOW, endedAt: NOW + 60_000 } as const);
  expect(requestedRunStatus({ request: good, run }, status('Running'))).toEqual({
    ...status('Succeeded'),
    finishedAt: '2026-05-06T07:09:09Z',
  });
  expect(decideRun({ request: good, run }, status('Running')).events).toMatchObject([
    { type: 'Normal', reason: 'RequestedRunEnded' },
  ]);
  expect(decideRun({ request: good, run }, status('Succeeded')).events).toEqual([]);
});

test('a failure is a warning with the error and the value that repeats the run', () => {
  const run = known({ state: 'Failed', startedAt: NOW, endedAt: NOW, message: 'ArchiveShrank' } as const);
  const { warnings, events } = decideRun({ request: good, run }, status('Running'));
  expect(warnings[0]).toEqual({
    reason: 'RequestedRunFailed',
    message:
      'The requested run of 2026-05-01 failed: ArchiveShrank; look at workflow ooni/requested/data/daily/2026-05-01 in Temporal. To run it again, set the annotation pipeline.ooni.org/run-bucket to 2026-05-01#2.',
  });
  expect(events).toMatchObject([{ type: 'Warning' }]);
  const third = request('2026-05-01#2') as RunRequest;
  expect(decideRun({ request: third, run }, undefined).warnings[0]?.message).toContain('to 2026-05-01#3.');
});
