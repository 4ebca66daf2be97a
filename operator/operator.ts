import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { type HealthServer, serveHealth } from '../pipeline/health-server.ts';
import type { Logger } from '../pipeline/log.ts';
import type { Settings } from '../pipeline/settings.ts';
import { SEARCH_ATTRIBUTES } from '../worker/contract.ts';
import { backfillReconciler } from './controllers/backfill/reconciler.ts';
import { installationScope } from './controllers/installation.ts';
import { scheduleReconciler } from './controllers/pipeline-schedule/reconciler.ts';
import { needsPass, WrittenStatus } from './controllers/reconcile.ts';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from './controllers/resources.ts';
import { MANAGED_BY, POOL_LABEL } from './controllers/worker-pool/deployment.ts';
import { budgetMatters, podMatters, poolKeys, poolReconciler } from './controllers/worker-pool/reconciler.ts';
import { WorkerSettings } from './controllers/worker-pool/worker-settings.ts';
import { keepDefaultPools } from './default-pools.ts';
import {
  DEPLOYMENTS,
  type Deployment,
  DISRUPTION_BUDGETS,
  type DisruptionBudget,
  PODS,
  type Pod,
} from './kube/builtin.ts';
import { Cache, type Change } from './kube/cache.ts';
import { Client } from './kube/client.ts';
import type { ConnectionSource } from './kube/config.ts';
import { Controller } from './kube/controller.ts';
import { EventRecorder } from './kube/events.ts';
import { Http } from './kube/http.ts';
import { createInstruments } from './kube/instruments.ts';
import { LeaderLease } from './kube/lease.ts';
import { type KubeObject, keyOf, ownerKeys } from './kube/resource.ts';
import { Ledger } from './ledger.ts';
import { registerMetrics } from './metrics.ts';
import { keepReferenceSchedules } from './reference-schedules/keep-schedules.ts';
import { Temporal } from './temporal/connection.ts';
import { loadReader } from './temporal/load.ts';
import { shared } from './temporal/shared-request.ts';
import { readVersions } from './temporal/versions.ts';

/** Name under which the operator owns fields. Never change it. */
const FIELD_MANAGER = 'ooni-operator';
/** Milliseconds for which all pools share one answer about the load. */
const LOAD_TTL = 5_000;

/**
 * Runs the operator until the signal aborts. The caches run from the start, so that a standby is warm; the controllers run while the
 * process holds the lease. The operator waits for an API server or a Temporal that it cannot reach.
 *
 * Throws LeaseLostError when the process lost the lease; everything has stopped by then, and a new call starts without any state of the
 * former leader. Throws HealthAddressError when it cannot listen on the health address.
 */
export async function runOperator(
  settings: Settings,
  source: ConnectionSource,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const instruments = createInstruments({ log });
  const { clock, metrics } = instruments;
  const instance = process.env.POD_NAME || hostname();
  const http = new Http(source, {
    userAgent: 'ooni-operator',
    observe: (method, status) => metrics.requests.inc({ method, code: status === 0 ? '<error>' : String(status) }),
  });
  const client = new Client(http, { fieldManager: FIELD_MANAGER });
  const lease = new LeaderLease({
    client,
    namespace: settings.operator_lease_namespace,
    name: `ooni-operator-${settings.installation}`,
    // The name of the pod shows in the Lease which pod leads. The random part makes a restarted process another holder.
    identity: `${instance}_${randomUUID()}`,
    instruments,
  });
  const writer = client.guardedBy(lease.assertHeld);
  const temporal = new Temporal(settings, Object.keys(SEARCH_ATTRIBUTES), log, lease.assertHeld);

  const ledger = new Ledger(settings, clock);
  const scope = { instruments, namespaces: settings.operator_namespaces };
  const ours = { ...scope, ...installationScope(settings.installation, settings.operator_claims_unlabelled) };
  const schedules = new Cache(client, PIPELINE_SCHEDULES, ours);
  const backfills = new Cache(client, BACKFILLS, ours);
  const pools = new Cache(client, WORKER_POOLS, ours);
  const managed = Object.entries(MANAGED_BY).map(([key, value]) => `${key}=${value}`);
  const deployments = new Cache<Deployment>(client, DEPLOYMENTS, { ...scope, labelSelector: managed.join(',') });
  const budgets = new Cache<DisruptionBudget>(client, DISRUPTION_BUDGETS, {
    ...scope,
    labelSelector: managed.join(','),
  });
  const pods = new Cache<Pod>(client, PODS, { ...scope, labelSelector: POOL_LABEL });
  const workerSettings = new WorkerSettings(client, settings, scope);
  /** Returns the pools whose pods read a ConfigMap or a Secret. */
  const poolsIn = ({ metadata }: KubeObject) =>
    [...pools.list()].filter(pool => pool.metadata.namespace === metadata.namespace).map(keyOf);
  const loadReadAt = new Map<string, number>();
  const caches = [schedules, backfills, pools, deployments, budgets, pods];
  registerMetrics(metrics.registry, {
    schedules: () => schedules.list(),
    backfills: () => backfills.list(),
    pools: () => pools.list(),
    temporal,
    loadReadAt,
  });

  const events = new EventRecorder(writer, 'pipeline.ooni.org/operator', instruments, instance);
  const written = new WrittenStatus();
  const context = { client: writer, clock, events, written, installation: settings.installation };
  const when = (change: Change<KubeObject>) => needsPass(written, change);
  const defaults = {
    name: settings.operator_default_pools,
    namespace: settings.operator_lease_namespace,
    installation: settings.installation,
  };
  const ui = { url: settings.temporal_ui_url, namespace: settings.temporal_namespace };
  const readLoad = loadReader(temporal, settings.installation, clock);
  const load = shared(clock, LOAD_TTL, async () => {
    const found = await readLoad();
    for (const { queue, stats } of found.queues) if (stats) loadReadAt.set(queue, found.at);
    return found;
  });
  const versions = shared(clock, LOAD_TTL, () => readVersions(temporal, settings.installation));
  const controllers = [
    new Controller({
      name: 'pipelineschedule',
      cache: schedules,
      reconcile: scheduleReconciler(context, temporal, ledger, ui),
      when,
      instruments,
    }),
    new Controller({
      name: 'backfill',
      cache: backfills,
      reconcile: backfillReconciler(context, temporal, ui),
      when,
      instruments,
      // A Backfill that waits for a worker's answer must not block the others.
      concurrency: 8,
    }),
    new Controller({
      name: 'workerpool',
      cache: pools,
      reconcile: poolReconciler(
        context,
        temporal,
        { pools, deployments, pods, budgets, load, versions, workerSettings },
        settings,
        ui,
      ),
      when,
      watches: [
        { cache: deployments, keys: ownerKeys(WORKER_POOLS) },
        { cache: budgets, keys: ownerKeys(WORKER_POOLS), when: budgetMatters },
        { cache: pods, keys: poolKeys, when: podMatters },
        ...workerSettings.caches.map(cache => ({ cache, keys: poolsIn, optional: true })),
      ],
      instruments,
    }),
  ] as const;

  const watching = new AbortController();
  let health: HealthServer | undefined;
  try {
    if (settings.operator_health_address) {
      health = await serveHealth({
        address: settings.operator_health_address,
        registry: metrics.registry,
        live: {
          lease: () => lease.stalled(),
          ...Object.fromEntries(controllers.map(controller => [controller.name, () => controller.stalled()])),
        },
        ready: {
          caches: () => (caches.every(cache => cache.synced) ? undefined : 'the first lists are not complete'),
        },
      });
      log.info({ url: health.url }, 'health and metrics');
    }
    // The caches stop after the controllers, because the last passes still read them.
    const running = Promise.all([...caches, ...workerSettings.caches].map(cache => cache.run(watching.signal)));
    await lease.hold(signal, async leading => {
      await Promise.all([
        ...controllers.map(controller => controller.run(leading)),
        keepReferenceSchedules(temporal, settings.installation, log, leading),
        ...(defaults.name ? [keepDefaultPools({ client: writer, log, signal: leading }, defaults)] : []),
      ]);
      await events.flush();
    });
    watching.abort();
    await running;
  } finally {
    watching.abort();
    await health?.stop();
    await temporal.close();
    await ledger.close();
    await http.close();
  }
}
