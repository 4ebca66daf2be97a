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

/** The histories of all workflows that ended by themselves. */
export async function endedHistories(client: Client): Promise<Ended[]> {
  const histories: Ended[] = [];
  for await (const { workflowId, runId, status } of client.workflow.list({ query: "ExecutionStatus != 'Running'" })) {
    if (status.name === 'TERMINATED') continue;
    const handle = client.workflow.getHandle(workflowId, runId, { followRuns: false });
    histories.push({ workflowId, status: status.name, history: await handle.fetchHistory() });
  }
  return histories;
}

/** Runs the workflows of today over histories: ids and messages of those that decide otherwise. */
export async function replayErrors(histories: readonly Named[]): Promise<[workflowId: string, message: string][]> {
  const errors: [string, string][] = [];
  for await (const { workflowId, error } of Worker.runReplayHistories({ ...workflowCode() }, histories)) {
    if (error) errors.push([workflowId, error.message]);
  }
  return errors;
}

/**
 * Writes histories into the directory that RECORD_HISTORIES names, if it does: recorded ones keep later versions of the workflows honest
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

/** A history without what it says of the machine it was made on. */
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
