import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, ServiceError } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTemporal, type TemporalServer } from '../../local/temporal.ts';
import { fromPayload } from '../../operator/temporal/payload.ts';
import { bucketsBetween, type Granularity } from '../../pipeline/bucket.ts';
import { registerSearchAttributes } from '../../temporal/connection.ts';
import type { Activities } from '../../worker/activities/types.ts';
import {
  BACKFILL_MESSAGES,
  type BackfillInput,
  type BackfillProgress,
  queuesOf,
  runWorkflowID,
  SEARCH_ATTRIBUTES,
  WORKFLOWS,
} from '../../worker/contract.ts';
import { note } from '../support/fault-notes.ts';
import { emptyBuckets, StubWorker } from '../support/stub-worker.ts';
import { makeNamespace, runInput } from '../support/worker.ts';

/*
 * Backfills of thousands of buckets, which continue in new histories. The backfill and Temporal are real; each run ends at once. The expected values come
 * from the calendar and from the histories that Temporal has recorded.
 */
const WINDOW = 50;
/** The real backfill with runs that end at once. A run with activities would take Temporal twice as long. */
const ENDED_RUNS = join(import.meta.dirname, '../support/ended-runs.ts');
/** Buckets of a page, as the activity returns them. */
const PAGE = 2000;
/** Events after which Temporal suggests a new history: its default, or fewer, so that a short range is a long one. */
const EVENTS = process.env.FAULTS ? 4096 : 300;

interface Range {
  readonly granularity: Granularity;
  readonly startAt: string;
  readonly endAt: string;
  readonly buckets: number;
}

/** Ten years have 3,652 days with two leap days; a year has 8,760 hours. The short range has a leap day. */
const RANGES: readonly Range[] = process.env.FAULTS
  ? [
      { granularity: 'Day', startAt: '2013-01-01', endAt: '2023-01-01', buckets: 3652 },
      { granularity: 'Hour', startAt: '2023-01-01T00', endAt: '2024-01-01T00', buckets: 8760 },
    ]
  : [{ granularity: 'Hour', startAt: '2024-02-27T00', endAt: '2024-03-02T00', buckets: 96 }];

let dir: string;
let server: TemporalServer;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-ranges-'));
  server = await startTemporal({
    dir,
    inMemory: true,
    dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': EVENTS },
  });
});
afterAll(async () => {
  await server?.stop();
  if (dir) rmSync(dir, { recursive: true, force: true });
});

test.each(RANGES)(
  '$buckets buckets ($granularity) run once and in order, $startAt to $endAt',
  {
    // Ten minutes on two processors; an hour with ten times the load that they can handle.
    timeout: 3_600_000,
  },
  async range => {
    const { granularity, startAt, endAt, buckets } = range;
    const { client, namespace } = await makeNamespace(server.address, 'ranges');
    await registerSearchAttributes(client.connection.operatorService, namespace, Object.keys(SEARCH_ATTRIBUTES));
    const all = [...bucketsBetween(startAt, endAt, granularity)];
    expect(all).toHaveLength(buckets);
    const { installation, filter, filterID } = runInput('2024-01-01');
    const worker = await StubWorker.start({
      ...{ address: server.address, namespace, installation, activities: activitiesFor(all), workflows: ENDED_RUNS },
    });
    const began = performance.now();
    try {
      const input: BackfillInput = {
        ...{ installation, filter, filterID, granularity, startAt, endAt, stages: ['Observations'] },
        ...{
          order: 'OldestFirst',
          reprocess: 'All',
          maxActiveRuns: WINDOW,
          suspended: false,
          dryRun: false,
          attempt: 1,
        },
      };
      const handle = await client.workflow.start<(input: BackfillInput) => Promise<BackfillProgress>>(
        WORKFLOWS.backfill,
        { workflowId: 'range', taskQueue: queuesOf(installation).workflows, args: [input] },
      );
      expect(await followed(client, handle.result(), buckets)).toMatchObject({
        ...{ phase: 'Complete', total: buckets, succeeded: buckets, failed: 0, skipped: 0, active: 0 },
        plan: { buckets, toRun: buckets, skipped: {} },
      });
      const seconds = Math.round((performance.now() - began) / 1000);

      const histories = await historiesOf(client, handle.firstExecutionRunId);
      const started = histories.flatMap(events =>
        events.flatMap(event => event.startChildWorkflowExecutionInitiatedEventAttributes?.workflowId ?? []),
      );
      expect(started).toEqual(all.map(bucket => runWorkflowID(installation, filterID, bucket)));
      expect(mostAtOnce(histories)).toBe(WINDOW);
      expect(histories.length).toBeGreaterThan(1);
      // A history that has become long still takes what its window brings before it ends.
      for (const events of histories) expect(events.length).toBeLessThan(EVENTS + 20 * WINDOW);
      expect((await runsOf(client, buckets)).toSorted()).toEqual(started.toSorted());
      note(
        `long-ranges: ${buckets} buckets (${granularity}) in ${histories.length} histories, each once and in order, ${WINDOW} at a time, ${seconds} s`,
      );
    } finally {
      await worker.stop();
      await client.connection.close();
    }
  },
);

/** Activities that plan these buckets, page by page. */
function activitiesFor(all: readonly string[]): Partial<Activities> {
  const buckets = all.length;
  return {
    ...emptyBuckets([]),
    planBackfill: async () => ({ asOf: 1, now: Date.now(), buckets, toRun: buckets, skipped: {} }),
    pageBackfill: async (_input, _plan, cursor) => {
      const from = cursor === null ? 0 : all.indexOf(cursor);
      const next = all[from + PAGE];
      return { buckets: all.slice(from, from + PAGE), ...(next !== undefined && { next }) };
    },
  };
}

/** Returns the result of the backfill. Until then, it looks at the progress, whose figures must add up and never fall. */
async function followed(client: Client, result: Promise<BackfillProgress>, buckets: number): Promise<BackfillProgress> {
  let ended = false;
  const end = result.finally(() => {
    ended = true;
  });
  let [before, looks] = [0, 0];
  while (!ended) {
    const progress = await client.workflow
      .getHandle('range')
      .query<BackfillProgress>(BACKFILL_MESSAGES.progress)
      .catch(error => {
        // On a machine with other load, no worker may answer in time.
        if (error instanceof ServiceError) return undefined;
        throw error;
      });
    if (progress) {
      const { total, succeeded, failed, skipped, active } = progress;
      expect({ total, failed, skipped }).toEqual({ total: buckets, failed: 0, skipped: 0 });
      expect(succeeded).toBeGreaterThanOrEqual(before);
      expect(succeeded + active).toBeLessThanOrEqual(total);
      expect(active).toBeLessThanOrEqual(WINDOW);
      before = succeeded;
      looks++;
    }
    await Promise.race([end, sleep(1000)]);
  }
  expect(looks).toBeGreaterThan(0);
  return end;
}

type Event = NonNullable<
  Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['fetchHistory']>>['events']
>[number];
type Events = readonly Event[];

/** Returns the histories of the backfill, the first one first. */
async function historiesOf(client: Client, first: string): Promise<Events[]> {
  const histories: Events[] = [];
  for (let next = first; next; ) {
    const { events } = await client.workflow.getHandle('range', next, { followRuns: false }).fetchHistory();
    histories.push(events ?? []);
    next = events?.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId ?? '';
  }
  return histories;
}

/**
 * Follows the window through the histories. Returns the number of active runs at most. Runs that the former history has carried over are
 * active when a history begins; their ends are answers of activities, and those of children are events.
 */
function mostAtOnce(histories: readonly Events[]): number {
  let [active, most] = [0, 0];
  for (const events of histories) {
    const [, carried] = events[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
    expect((fromPayload(carried) as { carried?: unknown[] } | undefined)?.carried ?? []).toHaveLength(active);
    for (const event of events) {
      if (event.startChildWorkflowExecutionInitiatedEventAttributes) active++;
      if (event.childWorkflowExecutionCompletedEventAttributes) active--;
      const answer = fromPayload(event.activityTaskCompletedEventAttributes?.result?.payloads?.[0]);
      if ((answer as { state?: string } | undefined)?.state === 'succeeded') active--;
      most = Math.max(most, active);
    }
  }
  expect(active).toBe(0);
  return most;
}

/** Returns the workflow ids of all runs of buckets that Temporal has seen, once all have completed. Visibility lags by seconds. */
async function runsOf(client: Client, expected: number): Promise<string[]> {
  const query = `WorkflowType = '${WORKFLOWS.bucket}'`;
  const completed = `${query} AND ExecutionStatus = 'Completed'`;
  await expect.poll(async () => (await client.workflow.count(completed)).count).toBe(expected);
  const found: string[] = [];
  for await (const { workflowId } of client.workflow.list({ query, pageSize: 1000 })) found.push(workflowId);
  return found;
}
