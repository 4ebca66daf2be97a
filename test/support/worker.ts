import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import type { RunInput, RunResult, Stage } from '../../worker/contract.ts';
import { PRIORITIES, queuesOf, runWorkflowID, WORKFLOWS } from '../../worker/contract.ts';
import { FINGERPRINTS, HTTP_FINGERPRINTS } from './fixtures.ts';
import { PROGRAM_ENV } from './program.ts';

/** Creates a Temporal namespace, so that the workers of one test file do not serve the queues of another. */
export async function makeNamespace(address: string, prefix: string): Promise<{ namespace: string; client: Client }> {
  const namespace = `${prefix}-${randomBytes(4).toString('hex')}`;
  const connection = await Connection.connect({ address });
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: { seconds: 86_400 as unknown as Long },
  });
  const client = new Client({ connection, namespace });
  // It takes some seconds until every part of the server knows a namespace.
  for (let tries = 0; ; tries++) {
    try {
      await connection.operatorService.listSearchAttributes({ namespace });
      await client.workflow.count();
      break;
    } catch (error) {
      if (tries > 100) throw error;
      await sleep(200);
    }
  }
  return { namespace, client };
}

/** A worker in a separate process: `node worker/main.ts`. */
export class WorkerProcess {
  readonly child: ChildProcess;
  output = '';

  constructor(env: Record<string, string>) {
    this.child = spawn(process.execPath, [join(import.meta.dirname, '../../worker/main.ts')], {
      env: {
        ...PROGRAM_ENV,
        LOG_FORMAT: 'json',
        INSTALLATION: 'test',
        // The repository contains the data that a new installation would fetch, so a test needs no network.
        FINGERPRINTS_DNS_SOURCE: FINGERPRINTS,
        FINGERPRINTS_HTTP_SOURCE: HTTP_FINGERPRINTS,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
        if (process.env.TEST_LOG) process.stderr.write(text);
      });
    }
  }

  /** Waits until the log matches a pattern. */
  async says(pattern: RegExp, timeout = 240_000): Promise<void> {
    const deadline = Date.now() + timeout;
    while (!pattern.test(this.output)) {
      if (this.child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`the log of the worker does not match ${pattern}:\n${this.output.slice(-3000)}`);
      }
      await sleep(50);
    }
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }

  /** Asks the process to stop. Returns its exit status. */
  async stop(): Promise<number | null> {
    if (this.child.exitCode !== null) return this.child.exitCode;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await gone;
    return this.child.exitCode;
  }
}

export function runInput(bucket: string, stages: readonly Stage[] = ['Observations'], filter = {}): RunInput {
  const normal = normaliseFilter(filter);
  return { installation: 'test', bucket, filter: normal, filterID: filterIDOf(normal), stages };
}

/** Starts a run like a real client. */
export function startRun(client: Client, run: RunInput) {
  return client.workflow.start<(run: RunInput) => Promise<RunResult>>(WORKFLOWS.bucket, {
    workflowId: runWorkflowID(run.installation, run.filterID, run.bucket),
    taskQueue: queuesOf(run.installation).workflows,
    args: [run],
    priority: { priorityKey: PRIORITIES.scheduled },
  });
}
