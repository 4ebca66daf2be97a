import { setTimeout } from 'node:timers/promises';
import { DATASET_NAMES, type DatasetName } from '../../pipeline/reference/datasets.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';
import type { Temporal } from '../temporal/connection.ts';
import { createSchedule, describeSchedule, type ScheduleRequest, updateSchedule } from '../temporal/schedules.ts';
import { planReference, referenceRequest } from './plan.ts';

/** Milliseconds between checks after a success, and after a failure. */
const CHECK_INTERVAL = 60_000;
const RETRY_INTERVAL = 15_000;

/**
 * Ensures until the signal aborts that each data set of reference data has its schedule in Temporal. It creates an absent schedule and
 * updates one of another operator version. Every installation has these schedules, without a resource. It waits while Temporal is
 * unavailable. It does not change a schedule of that id by somebody else, and logs it.
 */
export async function keepReferenceSchedules(
  temporal: Temporal,
  installation: string,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const reported = new Map<DatasetName, string>();
  while (!signal.aborted) {
    let wait = CHECK_INTERVAL;
    for (const dataset of DATASET_NAMES) {
      const problem = await keepReferenceSchedule(temporal, installation, dataset, log).catch((error: Error) => {
        wait = RETRY_INTERVAL;
        return error.message;
      });
      if (signal.aborted) return;
      if (problem && problem !== reported.get(dataset)) log.warn({ dataset }, `schedule of reference data: ${problem}`);
      if (problem) reported.set(dataset, problem);
      else reported.delete(dataset);
    }
    await setTimeout(wait, undefined, { signal }).catch(() => {});
  }
}

/** Ensures the schedule of one data set. Returns a sentence when it is not as desired and waiting does not help. */
export async function keepReferenceSchedule(
  temporal: Temporal,
  installation: string,
  dataset: DatasetName,
  log: Logger,
): Promise<string | undefined> {
  const request = referenceRequest(installation, dataset);
  const seen = await describeSchedule(temporal, request.id);
  const action = planReference(request, seen);
  switch (action.do) {
    case 'create':
      // The next check decides about a schedule that was created meanwhile.
      if (await createSchedule(temporal, request, action.pause)) {
        log.info({ schedule: request.id }, 'made a schedule of reference data');
      }
      return undefined;
    case 'update':
      if (seen) await updateSchedule(temporal, request, { pause: action.pause, seen });
      await recordContent(temporal, request);
      log.info({ schedule: request.id }, 'updated a schedule of reference data');
      return undefined;
    case 'refuse':
      return `Temporal has a schedule ${request.id} that no operator of installation "${installation}" made, so it is left alone and ${dataset} is not refreshed; delete it there`;
    case 'nothing':
      return undefined;
  }
}

/**
 * Records what Temporal made of the request, so that a change by somebody else shows. If this process ends before, the next check updates the
 * schedule once more.
 */
async function recordContent(temporal: Temporal, request: ScheduleRequest): Promise<void> {
  const made = await describeSchedule(temporal, request.id);
  if (!made) return;
  const { paused, note, content } = made;
  await updateSchedule(temporal, request, { pause: { paused, note }, seen: made, content });
}
