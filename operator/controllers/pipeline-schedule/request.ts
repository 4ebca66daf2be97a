import { parseCron } from '../../../crds/cron.ts';
import { durationSeconds } from '../../../crds/fields.ts';
import type { PipelineSchedule, PipelineScheduleSpec } from '../../../crds/pipeline-schedule.ts';
import { filterIDOf, normaliseFilter } from '../../../pipeline/filter.ts';
import { filterWords, launchIDPrefix, scheduleIDOf, WORKFLOWS } from '../../../worker/contract.ts';
import { hashOf } from '../../hash.ts';
import type { PauseState, ScheduleRequest } from '../../temporal/schedules.ts';

/** Note that distinguishes the operator's own pause from a pause by a person. */
export const OUR_NOTE = 'spec.suspend of the PipelineSchedule is true';
/** State of a schedule that is not paused. */
export const RUNNING: PauseState = { paused: false, note: '' };

/** Returns the desired schedule of a PipelineSchedule. */
export function requestOf(object: PipelineSchedule, spec: PipelineScheduleSpec, installation: string): ScheduleRequest {
  const { namespace = '', name, uid = '' } = object.metadata;
  const filter = normaliseFilter(spec);
  const content = {
    id: scheduleIDOf(installation, namespace, name),
    installation,
    launchID: launchIDPrefix(installation, namespace, name),
    ownerUID: uid,
    cron: parseCron(spec.schedule).lines,
    timeZone: spec.timeZone,
    overlap: spec.overlap,
    catchUpWindow: durationSeconds(spec.catchUpWindow) ?? 0,
    workflowType: WORKFLOWS.scheduledRun,
    summary: `the ${spec.granularity === 'Day' ? 'day' : 'hour'} before, ${filterWords(filter)}`,
    input: { installation, granularity: spec.granularity, filter, filterID: filterIDOf(filter), stages: spec.stages },
    attributes: { OoniInstallation: installation, OoniFilter: filterIDOf(filter) },
  };
  return { ...content, hash: hashOf(content) };
}

/** Returns the desired pause. The spec decides, but only a person may end a pause that a person made in Temporal. */
export function pauseFor(spec: PipelineScheduleSpec, seen: PauseState): PauseState {
  if (spec.suspend) return { paused: true, note: OUR_NOTE };
  if (seen.paused && seen.note !== OUR_NOTE) return { paused: true, note: seen.note };
  return RUNNING.paused === seen.paused ? { paused: false, note: seen.note } : RUNNING;
}
