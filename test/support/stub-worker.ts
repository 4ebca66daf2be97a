import { Context } from '@temporalio/activity';
import { NativeConnection, Worker } from '@temporalio/worker';
import { noCounts } from '../../pipeline/counts.ts';
import { describeRun } from '../../worker/activities/describe-run.ts';
import type { Activities } from '../../worker/activities/types.ts';
import { queuesOf } from '../../worker/contract.ts';
import { INTERCEPTOR_PATHS, workflowCode } from '../../worker/workflow-bundle.ts';
import { NO_SINKS } from './histories.ts';

/** Activities that need no archive and no ClickHouse: a plan has `buckets`, and every bucket is empty. */
export function emptyBuckets(buckets: readonly string[], hold: () => boolean = () => false): Partial<Activities> {
  return {
    planBackfill: async () => ({
      asOf: 1,
      now: Date.now(),
      buckets: buckets.length,
      toRun: buckets.length,
      skipped: {},
    }),
    pageBackfill: async () => ({ buckets: [...buckets] }),
    planRun: async () => {
      // `sleep` rejects when a heartbeat has reported that the run is cancelled.
      while (hold()) {
        Context.current().heartbeat();
        await Context.current().sleep(200);
      }
      const end = { counts: noCounts(), rowsStored: {} };
      return { handle: { generation: 1, openedAt: 1 }, batches: [], files: 0, bytes: 0, end };
    },
    abandonRun: async () => {},
    needsRun: async () => true,
    describeRun: run => describeRun(Context.current().client, run),
    refreshReference: async ({ dataset }) => ({ dataset, changed: false, rows: 0, leftOut: 0, problems: [] }),
  };
}

/** The real workflows with other activities, in this process. `workflows`: path of other workflows. */
export class StubWorker {
  readonly #workers: readonly Worker[];
  readonly #running: Promise<unknown>;
  readonly #connection: NativeConnection;

  static async start(options: {
    readonly address: string;
    readonly namespace: string;
    readonly installation: string;
    readonly activities: Partial<Activities>;
    readonly workflows?: string;
    /** Activities at a time; default 100. */
    readonly slots?: number;
  }): Promise<StubWorker> {
    const { address, namespace, installation, activities, workflows, slots = 100 } = options;
    const connection = await NativeConnection.connect({ address });
    const queues = queuesOf(installation);
    const common = { connection, namespace };
    const code = workflows
      ? { workflowsPath: workflows, interceptors: { workflowModules: INTERCEPTOR_PATHS } }
      : workflowCode();
    const workers = [
      await Worker.create({ ...common, taskQueue: queues.workflows, ...code, sinks: NO_SINKS }),
      await Worker.create({
        ...common,
        taskQueue: queues.activities,
        activities,
        maxConcurrentActivityTaskExecutions: slots,
        maxHeartbeatThrottleInterval: '500ms',
        defaultHeartbeatThrottleInterval: '500ms',
      }),
    ];
    return new StubWorker(workers, connection);
  }

  private constructor(workers: readonly Worker[], connection: NativeConnection) {
    this.#workers = workers;
    this.#connection = connection;
    this.#running = Promise.all(workers.map(worker => worker.run()));
  }

  async stop(): Promise<void> {
    // A signal to the process stops them, too.
    for (const worker of this.#workers) if (worker.getState() === 'RUNNING') worker.shutdown();
    await this.#running;
    await this.#connection.close();
  }
}
