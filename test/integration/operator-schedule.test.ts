import { ScheduleNotFoundError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PipelineSchedule, PipelineScheduleSpecInput } from '../../crds/pipeline-schedule.ts';
import { OUR_NOTE } from '../../operator/controllers/pipeline-schedule/request.ts';
import { PIPELINE_SCHEDULES } from '../../operator/controllers/resources.ts';
import { queuesOf, runWorkflowID, scheduleIDOf } from '../../worker/contract.ts';
import { eventually, kubectl } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';
import { PROGRAM_ENV } from '../support/program.ts';
import { typeLine } from '../support/typed-line.ts';

const bed = new OperatorBed('operator-schedule');
const { cable, client, kubeconfig, namespace } = bed;

beforeAll(() => bed.start());
afterAll(() => bed.stop());

const create = (name: string, spec: Partial<PipelineScheduleSpecInput> = {}, annotations = {}) =>
  client.create(PIPELINE_SCHEDULES, {
    metadata: { name, namespace, annotations },
    spec: { schedule: '0 2 * * *', ...spec },
  } as PipelineSchedule);
const get = (name: string) => client.find(PIPELINE_SCHEDULES, { name, namespace });
const change = (name: string, spec: Partial<PipelineScheduleSpecInput>) =>
  client.patch(PIPELINE_SCHEDULES, { name, namespace }, { spec });
const remove = (name: string) => client.delete(PIPELINE_SCHEDULES, { name, namespace });
const gone = (name: string) => eventually(async () => (await get(name)) === undefined);
const ready = (name: string, reason: string) =>
  eventually(async () => {
    const object = await get(name);
    const condition = object?.status?.conditions?.find(one => one.type === 'Ready');
    if (condition?.reason !== reason || condition.observedGeneration !== object?.metadata.generation) {
      throw new Error(`${name} is ${condition?.reason}: ${condition?.message}`);
    }
    return { object: object!, message: condition.message };
  });
const handle = (name: string) => bed.temporal.schedule.getHandle(scheduleIDOf('ooni', namespace, name));
const exists = async (name: string) => {
  try {
    await handle(name).describe();
    return true;
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return false;
    throw error;
  }
};
/** Creates a schedule by hand. */
const makeForeign = (name: string) =>
  bed.temporal.schedule.create({
    scheduleId: scheduleIDOf('ooni', namespace, name),
    spec: { cronExpressions: ['5 5 * * *'] },
    action: { type: 'startWorkflow', workflowType: 'Other', taskQueue: 'other' },
  });

describe('a schedule', () => {
  test('becomes one in Temporal with the complete spec', async () => {
    await create('daily', {
      probeCC: ['us', 'IT'],
      testNames: ['web_connectivity'],
      overlap: 'Skip',
      catchUpWindow: '2h',
      timeZone: 'Europe/Rome',
    });
    const { object } = await ready('daily', 'Scheduled');
    const found = await handle('daily').describe();
    expect(found.action).toMatchObject({
      workflowType: 'ScheduledRunWorkflow',
      workflowId: `ooni/launch/${namespace}/daily`,
      taskQueue: 'oonipipeline-ooni-workflows',
      staticSummary: 'the day before, IT, US; webconnectivity',
      args: [
        {
          installation: 'ooni',
          granularity: 'Day',
          filter: { probeCC: ['IT', 'US'], testNames: ['webconnectivity'] },
          filterID: 'it.us-webconnectivity',
          stages: ['Observations', 'Analysis'],
        },
      ],
    });
    expect(found.raw.schedule?.action?.startWorkflow?.priority?.priorityKey).toBe(2);
    expect(found.policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 7_200_000 });
    expect(found.spec.timezone).toBe('Europe/Rome');
    expect(found.state.paused).toBe(false);
    const next = found.info.nextActionTimes[0]!;
    expect(object.status?.nextBuckets?.[0]).toEqual({
      at: next.toISOString().replace('.000', ''),
      bucket: new Date(next.getTime() - 86_400_000).toISOString().slice(0, 10),
    });
    expect(object.status).toMatchObject({ scheduleID: scheduleIDOf('ooni', namespace, 'daily'), active: 0 });
  });

  test('a firing has the nominal time, and is shown as the last run', async () => {
    await create('fired');
    await ready('fired', 'Scheduled');
    await handle('fired').trigger();
    const seen = await eventually(async () => {
      const { status } = (await get('fired')) ?? {};
      return status?.lastRun && status.active === 1 ? status : undefined;
    }, 90);
    expect(seen.lastRun).toMatchObject({
      state: 'Running',
      bucket: new Date(Date.now() - 86_400_000).toISOString().slice(0, 10),
    });
  });

  test('shows that its run waits for a worker, also when an earlier run of the bucket has ended', async () => {
    await create('blocked', { probeCC: ['it'] });
    await ready('blocked', 'Scheduled');
    const bucket = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
    const earlier = await bed.temporal.workflow.start('BucketWorkflow', {
      workflowId: runWorkflowID('ooni', 'it-ALLTNS', bucket),
      taskQueue: queuesOf('ooni').workflows,
    });
    await earlier.terminate();
    await handle('blocked').trigger();
    const { object, message } = await ready('blocked', 'NoWorker');
    expect(object.status?.blockedBy).toMatchObject({
      bucket: object.status?.lastRun?.bucket,
      reason: 'NoWorker',
      message: 'no worker answers for the workflow',
    });
    expect(message).toContain('waits for a worker that takes Workflows');
    // The command reports the same from Temporal alone: its ClickHouse refuses connections.
    const env = { ...PROGRAM_ENV, TEMPORAL_ADDRESS: bed.temporalAddress, TEMPORAL_NAMESPACE: namespace };
    const line = 'node cli/bin/oonipipeline.mjs status -o json --clickhouse http://127.0.0.1:1/x';
    const { output, log } = await typeLine(line, env);
    const { schedules } = JSON.parse(output || '{}').temporal?.value ?? {};
    const shown = schedules?.find(({ id }: { id: string }) => id === scheduleIDOf('ooni', namespace, 'blocked'));
    expect(shown?.blockedBy, log + output).toEqual({
      bucket: object.status?.lastRun?.bucket,
      reason: 'NoWorker',
      message: 'no worker answers for the workflow',
      workflowID: expect.stringContaining(`ooni/launch/${namespace}/blocked-`),
    });
  });

  test('follows the spec, and keeps a pause by hand', async () => {
    await create('paused');
    await ready('paused', 'Scheduled');
    await handle('paused').pause('maintenance until Monday');
    await change('paused', { schedule: '30 3 * * *' });
    const { message } = await ready('paused', 'PausedInTemporal');
    expect(message).toContain('maintenance until Monday');
    const found = await handle('paused').describe();
    expect(found.state).toMatchObject({ paused: true, note: 'maintenance until Monday' });
    expect(found.spec.calendars?.[0]).toMatchObject({ hour: [{ start: 3 }], minute: [{ start: 30 }] });
    await change('paused', { suspend: true });
    await ready('paused', 'Suspended');
    expect((await handle('paused').describe()).state).toMatchObject({ paused: true, note: OUR_NOTE });
    await change('paused', { suspend: false });
    await ready('paused', 'Scheduled');
    expect((await handle('paused').describe()).state.paused).toBe(false);
  });

  test('changes by others in Temporal are undone', async () => {
    await create('drifting');
    await ready('drifting', 'Scheduled');
    await eventually(async () => (await get('drifting'))?.status?.scheduleHash !== undefined);
    await handle('drifting').update(({ action, policies, state }) => ({
      action: action as never,
      policies,
      state,
      spec: { cronExpressions: ['7 7 * * *'] },
    }));
    await eventually(async () => {
      const { calendars } = (await handle('drifting').describe()).spec;
      return calendars?.[0]?.hour?.[0]?.start === 2;
    }, 90);
  });

  test('an invalid cron line stalls it, until it is corrected', async () => {
    await create('wrong', { schedule: '0 25 * * *' });
    const { message } = await ready('wrong', 'InvalidSpec');
    expect(message).toContain('spec.schedule "0 25 * * *": is not a cron line');
    expect(await exists('wrong')).toBe(false);
    expect(await kubectl(kubeconfig, ['describe', 'psched', 'wrong', '-n', namespace])).toMatch(/Warning +InvalidSpec/);
    await change('wrong', { schedule: '0 5 * * *' });
    await ready('wrong', 'Scheduled');
  });

  test('runs a requested bucket once, also after a crash of the operator', async () => {
    const annotate = (value: string | null) =>
      client.patch(
        PIPELINE_SCHEDULES,
        { name: 'requested', namespace },
        { metadata: { annotations: { 'pipeline.ooni.org/run-bucket': value } } },
      );
    const requested = (request: string, state: string) =>
      eventually(async () => {
        const { status } = (await get('requested')) ?? {};
        return status?.requestedRun?.request === request && status.requestedRun.state === state ? status : undefined;
      }, 90);
    await create('requested', { probeCC: ['IT'], suspend: true }, { 'pipeline.ooni.org/run-bucket': '2024-01-22' });
    await requested('2024-01-22', 'Running');
    const run = bed.temporal.workflow.getHandle(`ooni/requested/${namespace}/requested/2024-01-22`);
    const { runId } = await run.describe();
    await bed.operator.kill();
    bed.startOperator();
    await run.terminate('the test ends it');
    const { conditions, requestedRun } = await requested('2024-01-22', 'Failed');
    expect(requestedRun).toMatchObject({ bucket: '2024-01-22', message: 'the test ends it' });
    expect(conditions?.find(one => one.type === 'Warning')).toMatchObject({ reason: 'RequestedRunFailed' });
    await annotate(null);
    await eventually(async () => !(await get('requested'))?.status?.conditions?.some(one => one.type === 'Warning'));
    await annotate('2024-01-22');
    await eventually(async () => (await get('requested'))?.status?.conditions?.some(one => one.type === 'Warning'));
    expect((await run.describe()).runId).toBe(runId);
    await annotate('2024-01-22#2');
    await requested('2024-01-22#2', 'Running');
    await annotate('2024-01');
    const { message } = await eventually(async () =>
      (await get('requested'))?.status?.conditions?.find(one => one.reason === 'InvalidAnnotation'),
    );
    expect(message).toContain('annotation pipeline.ooni.org/run-bucket = "2024-01" must be an upload day');
  });

  test('is deleted with the resource', async () => {
    await create('brief');
    await ready('brief', 'Scheduled');
    await remove('brief');
    await gone('brief');
    expect(await exists('brief')).toBe(false);
  });
});

describe("somebody else's schedule", () => {
  test('is refused, adopted with the annotation, and is ours then', async () => {
    await makeForeign('foreign');
    await create('foreign');
    const { message } = await ready('foreign', 'AdoptionRefused');
    expect(message).toContain('pipeline.ooni.org/adopt: "true"');
    expect((await handle('foreign').describe()).action).toMatchObject({ workflowType: 'Other' });
    await kubectl(kubeconfig, ['annotate', 'psched', 'foreign', '-n', namespace, 'pipeline.ooni.org/adopt=true']);
    await ready('foreign', 'Scheduled');
    expect((await handle('foreign').describe()).action).toMatchObject({ workflowType: 'ScheduledRunWorkflow' });
  });

  test('survives the deletion of the resource that was refused', async () => {
    await makeForeign('kept');
    await create('kept');
    await ready('kept', 'AdoptionRefused');
    await remove('kept');
    await gone('kept');
    expect(await exists('kept')).toBe(true);
  });
});

describe('while Temporal is unavailable', () => {
  test('no state is claimed, deletion waits with the remedy in its message; then all continues', async () => {
    await create('waiting');
    await create('abandoned');
    for (const name of ['waiting', 'abandoned']) await ready(name, 'Scheduled');
    cable.cut();
    try {
      for (const name of ['waiting', 'abandoned']) await remove(name);
      const { object, message } = await ready('waiting', 'TemporalUnavailable');
      expect(object.status?.conditions?.find(one => one.type === 'Ready')?.status).toBe('Unknown');
      expect(message).toContain('pipeline.ooni.org/abandon: "true"');
      await kubectl(kubeconfig, ['annotate', 'psched', 'abandoned', '-n', namespace, 'pipeline.ooni.org/abandon=true']);
      await gone('abandoned');
      expect(await get('waiting')).toBeDefined();
      expect(await exists('abandoned')).toBe(true);
      expect(await exists('waiting')).toBe(true);
    } finally {
      cable.mend();
    }
    await gone('waiting');
    expect(await exists('waiting')).toBe(false);
  });
});
