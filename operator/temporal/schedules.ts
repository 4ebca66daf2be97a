import { randomUUID } from 'node:crypto';
import { msToTs } from '@temporalio/common/lib/time.js';
// A CommonJS package whose named exports Node cannot detect.
import protobuf, { type temporal as proto } from '@temporalio/proto';
import { PRIORITIES, queuesOf } from '../../worker/contract.ts';
import { hashOf } from '../hash.ts';
import type { Temporal } from './connection.ts';
import { isAlreadyExists, isNotFound, TemporalConflict, undefinedWhen } from './errors.ts';
import { fromPayload, milliseconds, textOf, toKeyword, toPayload } from './payload.ts';
import { firingsOf, printOf, recentOf } from './schedule-list.ts';

const { ScheduleOverlapPolicy } = protobuf.temporal.api.enums.v1;
const OVERLAP = {
  Allow: ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL,
  Skip: ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_SKIP,
  Buffer: ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL,
} as const;

/**
 * A desired schedule, for a PipelineSchedule or for reference data. Equal requests have equal hashes: `hash` covers everything but the
 * paused state.
 */
export interface ScheduleRequest {
  readonly id: string;
  readonly installation: string;
  /** Prefix of the ids of the workflows that it starts. */
  readonly launchID: string;
  readonly hash: string;
  /** The owner: the UID of a resource, or another unique name. */
  readonly ownerUID: string;
  /** Cron lines. The schedule fires when one of them does. */
  readonly cron: readonly string[];
  readonly timeZone: string;
  readonly overlap: keyof typeof OVERLAP;
  /** Seconds. */
  readonly catchUpWindow: number;
  readonly workflowType: string;
  /** Description of a firing for the Temporal UI: at most 400 bytes. */
  readonly summary: string;
  /** Argument of the workflow. */
  readonly input: object;
  /** Search attributes of schedule and workflows: keyword by name. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Fires at once when the schedule is created, besides the times of `cron`. */
  readonly fireWhenMade?: boolean;
}

/** Whether a schedule is paused, and the note of that pause. */
export interface PauseState {
  readonly paused: boolean;
  readonly note: string;
}

/** State of a schedule. Temporal returns cron lines compiled, so only `hash` identifies the request. */
export interface ScheduleState extends PauseState {
  /** `ownerUID` of its request; undefined: not created by an operator. */
  readonly ownerUID?: string;
  readonly hash?: string;
  /**
   * Hash of Temporal's description. It cannot be compared with a request, but a changed hash means that somebody else changed the schedule.
   * Absent while only a list shows the schedule.
   */
  readonly described?: string;
  /** The next nominal firings, in milliseconds since 1970. */
  readonly nextFirings: readonly number[];
  /** The last firings, oldest first. */
  readonly recent: readonly { readonly at: number; readonly workflowID: string }[];
  /** The operator has created the schedule, and neither a description nor a list has shown it since. */
  readonly unseen?: true;
  /** What an update needs of a description. Absent when the state comes from elsewhere. */
  readonly version?: ScheduleVersion;
}

/** A version of a schedule. */
export interface ScheduleVersion {
  /** The state with `limitedActions`, which updates keep because a person may have set it. */
  readonly raw: proto.api.schedule.v1.IScheduleState;
  readonly conflictToken: Uint8Array;
}

/** A schedule as Temporal describes it. */
export interface DescribedSchedule extends ScheduleState {
  readonly described: string;
  /** Hash of the description without the memo, and the one that the memo records; they differ when somebody else changed the schedule. */
  readonly content: string;
  readonly recorded?: string;
  /** Hash of the part that a list shows. */
  readonly print: string;
  /** Times of the creation and of the last update, in milliseconds since 1970. A pause is not an update; undefined: never updated. */
  readonly createdAt?: number;
  readonly updatedAt?: number;
  /** Argument of the workflow; undefined when the schedule was not made by this program. */
  readonly input?: unknown;
  readonly version: ScheduleVersion;
}

/** Returns the schedule of that id; undefined when it does not exist. Throws the errors of `Temporal.call`. */
export function describeSchedule(temporal: Temporal, id: string): Promise<DescribedSchedule | undefined> {
  return temporal.call(`describing schedule ${id}`, async client => {
    const found = await client.workflowService
      .describeSchedule({ namespace: temporal.namespace, scheduleId: id })
      .catch(undefinedWhen(isNotFound));
    if (!found) return undefined;
    const memo = found.schedule?.action?.startWorkflow?.memo?.fields ?? {};
    const state = found.schedule?.state ?? {};
    const { spec, action, policies } = found.schedule ?? {};
    const { memo: _, ...work } = action?.startWorkflow ?? {};
    return {
      ownerUID: textOf(memo.ownerUID),
      hash: textOf(memo.requestHash),
      described: hashOf(JSON.parse(JSON.stringify([spec, action, policies]))),
      content: hashOf(JSON.parse(JSON.stringify([spec, work, policies]))),
      recorded: textOf(memo.content),
      print: printOf(spec, work.workflowType?.name),
      createdAt: milliseconds(found.info?.createTime),
      updatedAt: milliseconds(found.info?.updateTime),
      input: fromPayload(work.input?.payloads?.[0]),
      paused: state.paused === true,
      note: state.notes ?? '',
      nextFirings: firingsOf(found.info?.futureActionTimes),
      recent: recentOf(found.info?.recentActions),
      version: { raw: state, conflictToken: found.conflictToken ?? new Uint8Array() },
    };
  });
}

/** Creates the schedule. Returns true when it was created, false when the id exists already (`describeSchedule` shows its owner). */
export function createSchedule(temporal: Temporal, request: ScheduleRequest, pause: PauseState): Promise<boolean> {
  return temporal.write(`creating schedule ${request.id}`, async client => {
    const created = await client.workflowService
      .createSchedule({
        namespace: temporal.namespace,
        scheduleId: request.id,
        requestId: randomUUID(),
        identity: 'ooni-operator',
        schedule: { ...encode(request), state: { paused: pause.paused, notes: pause.note } },
        ...(request.fireWhenMade && {
          initialPatch: { triggerImmediately: { overlapPolicy: OVERLAP[request.overlap] } },
        }),
        searchAttributes: searchAttributes(request),
      })
      .catch(undefinedWhen(isAlreadyExists));
    return created !== undefined;
  });
}

export interface ScheduleUpdate {
  readonly pause: PauseState;
  /** State that the update replaces. */
  readonly seen: ScheduleState;
  /** Value for `recorded`, which makes later changes by others visible. */
  readonly content?: string;
}

/**
 * Replaces the action, the search attributes and the paused state of the schedule. Throws TemporalConflict when somebody has changed it
 * since `seen` was described. Each update includes the paused state: an update without it would silently unpause the schedule.
 */
export async function updateSchedule(
  temporal: Temporal,
  request: ScheduleRequest,
  { pause, seen, content }: ScheduleUpdate,
): Promise<void> {
  const { version } = seen;
  if (!version) throw new TemporalConflict(`updating schedule ${request.id}: it was not described right before`);
  await temporal.write(`updating schedule ${request.id}`, client =>
    client.workflowService.updateSchedule({
      namespace: temporal.namespace,
      scheduleId: request.id,
      schedule: { ...encode(request, content), state: { ...version.raw, paused: pause.paused, notes: pause.note } },
      conflictToken: version.conflictToken,
      // Without them, lists by installation do not show a schedule that was made by others and adopted.
      searchAttributes: searchAttributes(request),
      requestId: randomUUID(),
      identity: 'ooni-operator',
    }),
  );
}

/**
 * Deletes the schedule of an owner, if it exists. Runs that it has started continue. Temporal takes no conflict token for a deletion, so the
 * owner is read again immediately before. Throws TemporalConflict when it is another one.
 */
export async function deleteSchedule(temporal: Temporal, id: string, ownerUID: string | undefined): Promise<void> {
  const found = await describeSchedule(temporal, id);
  if (!found) return;
  if (found.ownerUID !== ownerUID) throw new TemporalConflict(`deleting schedule ${id}: it has another owner now`);
  await temporal.write(`deleting schedule ${id}`, client =>
    client.workflowService
      .deleteSchedule({ namespace: temporal.namespace, scheduleId: id, identity: 'ooni-operator' })
      .catch(undefinedWhen(isNotFound)),
  );
}

function encode(request: ScheduleRequest, content?: string): proto.api.schedule.v1.ISchedule {
  return {
    spec: { cronString: [...request.cron], timezoneName: request.timeZone },
    action: {
      startWorkflow: {
        workflowId: request.launchID,
        workflowType: { name: request.workflowType },
        taskQueue: { name: queuesOf(request.installation).workflows },
        input: { payloads: [toPayload(request.input)] },
        // This is the memo of the action, not of the schedule: an update can replace only this one.
        memo: {
          fields: {
            ownerUID: toPayload(request.ownerUID),
            requestHash: toPayload(request.hash),
            ...(content !== undefined && { content: toPayload(content) }),
          },
        },
        searchAttributes: searchAttributes(request),
        priority: { priorityKey: PRIORITIES.scheduled },
        userMetadata: { summary: toPayload(request.summary) },
      },
    },
    policies: {
      overlapPolicy: OVERLAP[request.overlap],
      catchupWindow: msToTs(request.catchUpWindow * 1000),
    },
  };
}

function searchAttributes(request: ScheduleRequest): proto.api.common.v1.ISearchAttributes {
  return {
    indexedFields: Object.fromEntries(
      Object.entries(request.attributes).map(([name, value]) => [name, toKeyword(value)]),
    ),
  };
}
