import type { PipelineSchedule } from '../../../crds/pipeline-schedule.ts';
import type { Stored } from '../../kube/resource.ts';
import type { ScheduleRecord } from '../../temporal/schedule-reader.ts';
import type { ScheduleState } from '../../temporal/schedules.ts';

/** Returns the record of a schedule for `status.scheduleHash`: the request, and what Temporal made of it. Undefined without a description. */
export function recordOf({ hash, described }: ScheduleState): string | undefined {
  return described === undefined ? undefined : `${hash}:${described}`;
}

/**
 * Returns the record in the status of a resource; undefined if it has none, if it is one of an older version, or if the spec has changed
 * since: then an operator may have updated the schedule and ended before it wrote the status.
 */
export function recordIn({ metadata, status }: Stored<PipelineSchedule>, id: string): ScheduleRecord | undefined {
  const { observedGeneration, scheduleID, scheduleHash } = status ?? {};
  if (scheduleID !== id || observedGeneration !== metadata.generation) return undefined;
  const [hash, described] = scheduleHash?.split(':') ?? [];
  return hash && described ? { ownerUID: metadata.uid, hash, described } : undefined;
}

/**
 * Returns whether a schedule is as it was recorded. A record of an earlier request says nothing: an operator has updated the schedule since, and
 * ended before it wrote the status. Records of older versions have no request.
 */
export function isAsRecorded({ hash, described }: ScheduleState, record: string): boolean {
  if (described === undefined) return true;
  const [request, description] = record.includes(':') ? record.split(':') : [hash, record];
  return request !== hash || description === described;
}
