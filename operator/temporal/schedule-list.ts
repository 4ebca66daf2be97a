import type { temporal as proto } from '@temporalio/proto';
import { hashOf } from '../hash.ts';
import { type Clock, sleep } from '../kube/clock.ts';
import type { Temporal } from './connection.ts';
import { milliseconds } from './payload.ts';
import type { PauseState, ScheduleState } from './schedules.ts';

/** A schedule as a list shows it, seconds behind the schedule itself. A list has neither arguments nor policies. */
export interface ListedSchedule extends PauseState, Pick<ScheduleState, 'nextFirings' | 'recent'> {
  /** Hash of the times and of the workflow's type. */
  readonly print: string;
}

/** Schedules by id. */
export type ScheduleList = ReadonlyMap<string, ListedSchedule>;

/** Schedules in a page. Decoding a page takes some milliseconds, and what it leaves behind in a larger one outlives the young heap. */
const PAGE = 100;
/** Milliseconds between two pages. Temporal allows ten listing requests a second, and other lists need some of them. */
const PAUSE = 250;

/** Returns all schedules of an installation. Throws the errors of `Temporal.call`. */
export async function listSchedules(
  temporal: Temporal,
  installation: string,
  clock: Clock,
  pageSize = PAGE,
): Promise<ScheduleList> {
  const found = new Map<string, ListedSchedule>();
  let nextPageToken: Uint8Array = new Uint8Array();
  do {
    if (nextPageToken.length > 0) await sleep(clock, PAUSE);
    const page = await temporal.call('listing schedules', client =>
      client.workflowService.listSchedules({
        namespace: temporal.namespace,
        maximumPageSize: pageSize,
        nextPageToken,
        query: `OoniInstallation = '${installation}'`,
      }),
    );
    for (const { scheduleId, info } of page.schedules) if (scheduleId && info) found.set(scheduleId, listed(info));
    nextPageToken = page.nextPageToken;
  } while (nextPageToken.length > 0);
  return found;
}

function listed(info: proto.api.schedule.v1.IScheduleListInfo): ListedSchedule {
  return {
    print: printOf(info.spec, info.workflowType?.name),
    paused: info.paused === true,
    note: info.notes ?? '',
    nextFirings: firingsOf(info.futureActionTimes),
    recent: recentOf(info.recentActions),
  };
}

/** Entries of a list of times that a list shows at most. */
const SHOWN = 10;

/**
 * Returns a hash of what a list shows of the times and the workflow's type, so that a description can be compared with a list. Temporal
 * leaves out the data of the time zone and long parts of the times.
 */
export function printOf(
  spec: proto.api.schedule.v1.IScheduleSpec | null | undefined,
  workflowType: string | null | undefined,
): string {
  const { timezoneData: _, ...shown } = JSON.parse(JSON.stringify(spec ?? {})) as Record<string, unknown>;
  const cut = Object.entries(shown).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.slice(0, SHOWN) : value,
  ]);
  return hashOf([Object.fromEntries(cut), workflowType ?? '']);
}

/** Returns the times of the next firings, in milliseconds since 1970. */
export function firingsOf(
  times: proto.api.schedule.v1.IScheduleListInfo['futureActionTimes'],
): ScheduleState['nextFirings'] {
  return (times ?? []).flatMap(time => milliseconds(time) ?? []);
}

/** Returns the last firings, oldest first. */
export function recentOf(actions: proto.api.schedule.v1.IScheduleListInfo['recentActions']): ScheduleState['recent'] {
  return (actions ?? []).flatMap(action => {
    const at = milliseconds(action.scheduleTime);
    const workflowID = action.startWorkflowResult?.workflowId;
    return at === undefined || !workflowID ? [] : [{ at, workflowID }];
  });
}
