import { setTimeout as sleep } from 'node:timers/promises';
import type { InjectedSinks, NativeConnection, Worker, WorkerOptions } from '@temporalio/worker';
import { openArchive } from '../pipeline/archive/open.ts';
import { freePort } from '../pipeline/free-port.ts';
import { prepareDatabase } from '../pipeline/migrations/migrate.ts';
import { openIpMetadata } from '../pipeline/reference/ip-metadata.ts';
import { RunMetrics } from '../pipeline/runs/metrics.ts';
import { loadSettings, type Settings, SettingsError } from '../pipeline/settings.ts';
import { type ClickHouse, openClickHouse } from '../pipeline/tables/clickhouse.ts';
import { type HealthServer, serveHealth } from '../pipeline/telemetry/health-server.ts';
import { createLogger, type Logger } from '../pipeline/telemetry/log.ts';
import type { Tracing } from '../pipeline/telemetry/otel.ts';
import { processName, startTracing } from '../pipeline/telemetry/tracing.ts';
import { ThreadPool } from '../pipeline/threads/pool.ts';
import { CODE_VERSION } from '../pipeline/version.ts';
import { ClickHouseWatch } from './activities/clickhouse-watch.ts';
import { noteRetry } from './activities/waits.ts';
import { queuesOf, workerDeploymentOf } from './contract.ts';
import { serveMetrics } from './metrics-server.ts';
import { retryUntilReady, unlessAborted } from './startup-retry.ts';
import type { TemporalConnection as OpenConnection } from './temporal-connection.ts';
import { activityTracing, workflowSinks } from './tracing.ts';
import { workflowCode } from './workflow-bundle.ts';
import type { EndSinks } from './workflows/trace.ts';

/** Returns the seconds that a stopping worker leaves to running tasks. The rest of `worker_drain_timeout` is for writing their checkpoints. */
export function secondsToFinish({ worker_drain_timeout: seconds }: Pick<Settings, 'worker_drain_timeout'>): number {
  return Math.max(1, Math.round(seconds * 0.8));
}

/**
 * Runs the worker, which serves workflow tasks, activity tasks or both, until SIGTERM or SIGINT. Then it takes no more tasks and lets the
 * running ones finish. After `secondsToFinish` it stops them at their last checkpoint, from which another worker continues. Temporal,
 * ClickHouse or the archive may be unavailable at the start or later: the worker waits and reports the cause. A signal during the start is
 * not an error.
 */
export async function runWorker(settings: Settings, log: Logger): Promise<void> {
  try {
    await serveQueues(settings, log);
  } catch (error) {
    if (!(error instanceof StopError)) throw error;
  }
}

async function serveQueues(settings: Settings, log: Logger): Promise<void> {
  const stop = new AbortController();
  const metrics = new RunMetrics();
  const workers: Worker[] = [];
  let waitsFor: string | undefined = 'it is starting';
  const onWaiting = (sentence: string) => {
    waitsFor = sentence;
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) return;
      log.info(`${signal}: taking no more tasks; running tasks have ${secondsToFinish(settings)} s to finish`);
      onWaiting('it is stopping');
      stop.abort(new StopError('asked to stop'));
      for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
    });
  }
  const server = await serveState(settings, { metrics, workers, waitsFor: () => waitsFor });
  const tracing = await startTracing(settings, 'ooni-worker', log);
  const database = settings.worker_tasks.includes('Activities') ? new Database(settings, log, stop.signal) : undefined;
  // Loading the SDK occupies the thread for most of a second, so the first statements would wait for it.
  await database?.begun();
  const { installRuntime, registerRunAttributes, TemporalConnection, Worker } = await import('./sdk.ts');
  const prometheus = settings.prometheus_bind_address;
  const sdkPort = prometheus ? await freePort() : undefined;
  installRuntime(log, sdkPort);
  const scraped = sdkPort === undefined ? undefined : await serveMetrics(prometheus, metrics.registry, sdkPort);

  const reach = <T>(doing: string, work: () => Promise<T>) =>
    retryUntilReady(doing, work, { log, onWaiting, signal: stop.signal });
  // A Temporal that accepts connections and does not answer must not delay the end of the process.
  const ask = <T>(doing: string, work: () => Promise<T>) => reach(doing, () => unlessAborted(work(), stop.signal));
  const stopped = new AbortController();
  let temporal: OpenConnection | undefined;
  try {
    const opened = await ask(`reach Temporal at ${settings.temporal_address}`, () =>
      TemporalConnection.open(settings, log),
    );
    temporal = opened;
    await ask('register search attributes with Temporal', () =>
      registerRunAttributes(opened.current, settings.temporal_namespace, log),
    );
    const activities = database && (await prepareActivities(database, { settings, log, metrics, tracing, reach }));
    try {
      for (const options of workerOptions(
        settings,
        opened.current,
        activities?.activities,
        workflowSinks(tracing, metrics, log),
      )) {
        workers.push(await ask('start the worker', () => Worker.create(options)));
      }
      if (stop.signal.aborted) return;
      waitsFor = undefined;
      log.info(
        { tasks: settings.worker_tasks, namespace: settings.temporal_namespace, version: CODE_VERSION },
        `working for Temporal at ${settings.temporal_address}`,
      );
      // Until the last task has ended, which may take longer than the certificates are valid.
      const keeping = opened.keep(workers, stopped.signal);
      await Promise.all(workers.map(worker => worker.run()));
      stopped.abort();
      await keeping;
    } finally {
      await activities?.close();
    }
  } finally {
    stopped.abort();
    await database?.close();
    await temporal?.close();
    await tracing?.close();
    await scraped?.stop();
    await server?.stop();
  }
}

/** Serves health and metrics at `worker_health_address`; undefined without the setting. `waitsFor` returns why the worker is not ready. */
async function serveState(
  { worker_health_address: address }: Settings,
  {
    metrics,
    workers,
    waitsFor,
  }: { readonly metrics: RunMetrics; readonly workers: readonly Worker[]; readonly waitsFor: () => string | undefined },
): Promise<HealthServer | undefined> {
  if (!address) return undefined;
  const hasFailed = () => workers.some(worker => worker.getState() === 'FAILED');
  return await serveHealth({
    address,
    registry: metrics.registry,
    live: { worker: () => (hasFailed() ? 'a worker of the Temporal SDK has failed' : undefined) },
    ready: { worker: waitsFor },
  });
}

/** The worker received a signal to stop during its start. This is not a failure. */
class StopError extends Error {
  override name = 'StopError';
}

/** Command that migrates the database by hand, for the message of an error. */
const MIGRATE = 'oonipipeline migrate, with the settings of this worker';

/** The database of the worker, which it prepares at once: before it loads the SDK of Temporal and reaches Temporal. */
class Database {
  readonly clickhouse: ClickHouse;
  readonly #prepare: () => Promise<void>;
  /** Whether the first attempt succeeded. A failure is repeated, and reported then. */
  readonly #first: Promise<boolean>;
  readonly #closing = new AbortController();

  constructor(settings: Settings, log: Logger, signal: AbortSignal) {
    const onRetry = (error: Error, attempt: number, wait: number) => {
      noteRetry(error, wait);
      log.warn({ attempt }, `ClickHouse: ${error.message}; trying again in ${wait} ms`);
    };
    this.clickhouse = openClickHouse(settings, { onRetry });
    const options = { remedy: MIGRATE, signal: AbortSignal.any([signal, this.#closing.signal]) };
    this.#prepare = async () => {
      await prepareDatabase(this.clickhouse, settings, log, options);
    };
    this.#first = this.#prepare().then(
      () => true,
      () => false,
    );
  }

  /** Resolves when the first attempt has ended, at the latest after a second. */
  async begun(): Promise<void> {
    await Promise.race([this.#first, sleep(1000, undefined, { ref: false })]);
  }

  /** Resolves when the database exists and is migrated. */
  async prepared(reach: Reach): Promise<void> {
    if (await this.#first) return;
    await reach(`prepare the database at ${this.clickhouse.name}`, this.#prepare);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    // A migration releases its lock before the process ends.
    await this.#first;
    await this.clickhouse.close();
  }
}

/** Retries the work until it succeeds; `doing` names it for log and readiness. */
type Reach = <T>(doing: string, work: () => Promise<T>) => Promise<T>;

/** The parts of the process that the activities need. */
interface WorkerParts {
  readonly settings: Settings;
  readonly log: Logger;
  readonly metrics: RunMetrics;
  readonly tracing: Tracing | undefined;
  readonly reach: Reach;
}

/** Returns the activities, once the database is prepared. */
async function prepareActivities(
  database: Database,
  { settings, log, metrics, tracing, reach }: WorkerParts,
): Promise<{ activities: object; close(): Promise<void> }> {
  const ipMetadata = openIpMetadata(settings.geoip_dir || undefined);
  if (settings.geoip_dir === '') {
    log.warn('geoip_dir is empty: addresses get no AS and no country; `oonipipeline geoip` fetches the databases');
  }
  const archive = openArchive(settings);
  const { clickhouse } = database;
  await database.prepared(reach);
  const pool = new ThreadPool(settings, ipMetadata, log, tracing?.export);
  const { createActivities } = await import('./sdk.ts');
  const activities = createActivities({
    settings,
    archive,
    clickhouse,
    pool,
    metrics,
    referenceVersions: { ip: ipMetadata.version },
    rulesVersion: settings.analysis_rules_version,
    log,
    watch: new ClickHouseWatch(() => clickhouse.probe()),
  });
  return { activities, close: () => pool.close() };
}

function workerOptions(
  settings: Settings,
  connection: NativeConnection,
  activities: object | undefined,
  sinks: InjectedSinks<EndSinks>,
): WorkerOptions[] {
  const common = {
    connection,
    namespace: settings.temporal_namespace,
    identity: processName(),
    shutdownGraceTime: `${secondsToFinish(settings)} s`,
    shutdownForceTime: `${settings.worker_drain_timeout + 5} s`,
  };
  const queues = queuesOf(settings.installation);
  const options: WorkerOptions[] = [];
  if (settings.worker_tasks.includes('Workflows')) {
    options.push({ ...common, taskQueue: queues.workflows, ...workflowCode(), ...versionOf(settings), sinks });
  }
  if (activities) {
    options.push({
      ...common,
      taskQueue: queues.activities,
      activities,
      interceptors: { activity: [activityTracing] },
      maxConcurrentActivityTaskExecutions: settings.worker_slots,
      // A checkpoint loses its value while it waits, and a cancellation arrives with the answer to a heartbeat.
      maxHeartbeatThrottleInterval: '5 s',
      defaultHeartbeatThrottleInterval: '5 s',
    });
  }
  return options;
}

/**
 * Returns the options by which Temporal knows the version of the workflow code. A workflow moves on to the current version unless it is
 * pinned to the one that it began with (worker/workflows/options.ts). Activities have no version: any worker can continue them.
 */
function versionOf({
  installation,
  worker_build_id: buildId,
}: Settings): Pick<WorkerOptions, 'workerDeploymentOptions'> {
  if (buildId === '') return {};
  const version = { deploymentName: workerDeploymentOf(installation), buildId };
  return {
    workerDeploymentOptions: { version, useWorkerVersioning: true, defaultVersioningBehavior: 'AUTO_UPGRADE' },
  };
}

if (import.meta.main) {
  let log: Logger | undefined;
  try {
    const settings = loadSettings();
    log = createLogger('worker', settings);
    await runWorker(settings, log);
    process.exit(0);
  } catch (error) {
    if (error instanceof SettingsError || !log) console.error((error as Error).message);
    else log.fatal({ err: error }, 'the worker ended');
    process.exit(1);
  }
}
