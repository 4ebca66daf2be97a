import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Settings } from '../pipeline/settings.ts';
import { type HealthServer, type MetricsText, serveHealth } from '../pipeline/telemetry/health-server.ts';
import type { Logger } from '../pipeline/telemetry/log.ts';
import { SEARCH_ATTRIBUTES } from '../worker/contract.ts';
import { Caches } from './caches.ts';
import { createControllers, SHARED_FOR } from './controllers/controllers.ts';
import { Waits, WrittenStatus } from './controllers/reconcile.ts';
import { keepDefaultPools } from './default-pools.ts';
import { Client } from './kube/client.ts';
import type { ConnectionSource } from './kube/config.ts';
import { EventRecorder } from './kube/events.ts';
import { Http } from './kube/http.ts';
import { createInstruments } from './kube/instruments.ts';
import { LeaderLease } from './kube/lease.ts';
import { Ledger } from './ledger.ts';
import { type Resources, resourceMetrics } from './metrics.ts';
import { migrateDatabase } from './migration.ts';
import { keepReferenceSchedules } from './reference-schedules/keep-schedules.ts';
import { loadMessages, Temporal } from './temporal/connection.ts';
import { type Load, loadReader } from './temporal/load.ts';
import { shared } from './temporal/shared-request.ts';

/** Name under which the operator owns fields. Never change it. */
const FIELD_MANAGER = 'ooni-operator';

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
  await loadMessages();
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
  const attributes = Object.keys(SEARCH_ATTRIBUTES);
  const temporal = new Temporal(settings, { attributes, log, guard: lease.assertHeld, clock });

  const ledger = new Ledger(settings, clock);
  const caches = new Caches(client, settings, instruments);
  const loadReadAt = new Map<string, number>();
  const load = shared(clock, SHARED_FOR, noting(loadReadAt, loadReader(temporal, settings.installation, clock)));
  const resources: Resources = {
    schedules: () => caches.schedules.list(),
    backfills: () => caches.backfills.list(),
    pools: () => caches.pools.list(),
    temporal,
    loadReadAt,
  };
  const events = new EventRecorder(writer, 'pipeline.ooni.org/operator', instruments, instance);
  const written = new WrittenStatus();
  const context = { client: writer, clock, events, written, waits: new Waits(), installation: settings.installation };
  const controllers = createControllers(context, { caches, temporal, ledger, load }, settings, instruments);
  const defaults = {
    name: settings.operator_default_pools,
    namespace: settings.operator_lease_namespace,
    installation: settings.installation,
  };

  const watching = new AbortController();
  let health: HealthServer | undefined;
  try {
    health = await serveState(settings, { lease, controllers, caches, resources, registry: metrics.registry });
    if (health) log.info({ url: health.url }, 'health and metrics');
    // The caches stop after the controllers, because the last passes still read them.
    const running = caches.run(watching.signal);
    await lease.hold(signal, async leading => {
      await Promise.all([
        ...controllers.map(controller => controller.run(leading)),
        keepReferenceSchedules(temporal, settings.installation, log, leading),
        ...(settings.operator_migrates ? [migrateDatabase(settings, log, leading)] : []),
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

/** Parts of the operator whose state the health endpoints and the metrics show. */
interface Parts {
  readonly lease: LeaderLease;
  readonly controllers: ReturnType<typeof createControllers>;
  readonly caches: Caches;
  readonly resources: Resources;
  readonly registry: MetricsText;
}

/** Serves health and metrics at `operator_health_address`; undefined without the setting. */
async function serveState(
  { operator_health_address: address }: Settings,
  { lease, controllers, caches, resources, registry }: Parts,
): Promise<HealthServer | undefined> {
  if (!address) return undefined;
  return await serveHealth({
    address,
    registry,
    more: () => resourceMetrics(resources),
    live: {
      lease: () => lease.stalled(),
      ...Object.fromEntries(controllers.map(controller => [controller.name, () => controller.stalled()])),
    },
    ready: { caches: () => (caches.synced ? undefined : 'the first lists are not complete') },
  });
}

/** Returns a reader that notes the time of the statistics of each queue, in milliseconds since 1970. */
function noting(readAt: Map<string, number>, read: () => Promise<Load>): () => Promise<Load> {
  return async () => {
    const load = await read();
    for (const { queue, stats } of load.queues) if (stats) readAt.set(queue, load.at);
    return load;
  };
}
