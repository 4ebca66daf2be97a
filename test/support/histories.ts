import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Client } from '@temporalio/client';
import protobuf from '@temporalio/proto';
import { Worker } from '@temporalio/worker';
import { workflowCode } from '../../worker/workflow-bundle.ts';

interface Named {
  readonly workflowId: string;
  readonly history: protobuf.temporal.api.history.v1.IHistory;
}

interface Ended extends Named {
  /** COMPLETED, FAILED and so on. */
  readonly status: string;
}

/** Returns the histories of all workflows that ended. */
export async function endedHistories(client: Client): Promise<Ended[]> {
  const histories: Ended[] = [];
  for await (const { workflowId, runId, status } of client.workflow.list({ query: "ExecutionStatus != 'Running'" })) {
    if (status.name === 'TERMINATED') continue;
    const handle = client.workflow.getHandle(workflowId, runId, { followRuns: false });
    histories.push({ workflowId, status: status.name, history: await handle.fetchHistory() });
  }
  return histories;
}

/** Sinks of workers in tests, which report nothing. Without the sink, the SDK logs an error for each workflow. */
export const NO_SINKS = { workflows: { ended: { fn: () => {} } } };

/** Replays histories with the current workflows. Returns ids and messages of those with other decisions. */
export async function replayErrors(histories: readonly Named[]): Promise<[workflowId: string, message: string][]> {
  const errors: [string, string][] = [];
  for await (const { workflowId, error } of Worker.runReplayHistories(
    { ...workflowCode(), sinks: NO_SINKS },
    histories,
  )) {
    if (error) errors.push([workflowId, error.message]);
  }
  return errors;
}

/**
 * Writes histories into the directory RECORD_HISTORIES, if it is set. Later versions of the workflows must replay the recorded histories
 * (worker/workflows/replay.test.ts).
 */
export function recordHistories(histories: readonly Named[]): void {
  const directory = process.env.RECORD_HISTORIES;
  if (!directory) return;
  for (const { workflowId, history } of histories) {
    const bytes = protobuf.temporal.api.history.v1.History.encode(withoutPlace(history)).finish();
    writeFileSync(join(directory, `${workflowId.replaceAll(/[^\w-]/g, '_')}.pb.gz`), gzipSync(bytes, { level: 9 }));
  }
}

/** Removes the name of the recording machine from a history. */
function withoutPlace<T>(value: T): T {
  if (typeof value === 'string') return value.replace(/^\d+@.*$/, 'worker') as T;
  if (Array.isArray(value)) return value.map(withoutPlace) as T;
  if (typeof value !== 'object' || value === null || !Object.getPrototypeOf(value)?.constructor) return value;
  if (value instanceof Uint8Array || 'low' in value) return value;
  const places = new Set(['identity', 'stackTrace', 'binaryChecksum']);
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, places.has(key) ? '' : withoutPlace(inner)]),
  ) as T;
}
