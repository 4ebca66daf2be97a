import type { Settings } from '../pipeline/settings.ts';
import { installationScope } from './controllers/installation.ts';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from './controllers/resources.ts';
import { MANAGED_BY, POOL_LABEL } from './controllers/worker-pool/deployment.ts';
import { WorkerSettings } from './controllers/worker-pool/worker-settings.ts';
import {
  DEPLOYMENTS,
  type Deployment,
  DISRUPTION_BUDGETS,
  type DisruptionBudget,
  PODS,
  type Pod,
} from './kube/builtin.ts';
import { Cache } from './kube/cache.ts';
import type { Client } from './kube/client.ts';
import type { Instruments } from './kube/instruments.ts';

/** The objects that the operator watches: its resources, and what it makes of them. Standbys watch them as well. */
export class Caches {
  readonly schedules;
  readonly backfills;
  readonly pools;
  readonly deployments;
  readonly budgets;
  readonly pods;
  readonly workerSettings;

  constructor(client: Client, settings: Settings, instruments: Instruments) {
    const scope = { instruments, namespaces: settings.operator_namespaces };
    const ours = { ...scope, ...installationScope(settings.installation, settings.operator_claims_unlabelled) };
    const made = {
      ...scope,
      labelSelector: Object.entries(MANAGED_BY)
        .map(([key, value]) => `${key}=${value}`)
        .join(','),
    };
    this.schedules = new Cache(client, PIPELINE_SCHEDULES, ours);
    this.backfills = new Cache(client, BACKFILLS, ours);
    this.pools = new Cache(client, WORKER_POOLS, ours);
    this.deployments = new Cache<Deployment>(client, DEPLOYMENTS, made);
    this.budgets = new Cache<DisruptionBudget>(client, DISRUPTION_BUDGETS, made);
    this.pods = new Cache<Pod>(client, PODS, { ...scope, labelSelector: POOL_LABEL });
    this.workerSettings = new WorkerSettings(client, settings, scope);
  }

  /** Whether the first lists are complete. Settings of workers do not count, because the account may not be allowed to read them. */
  get synced(): boolean {
    return this.#required.every(cache => cache.synced);
  }

  /** Lists and watches until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#required, ...this.workerSettings.caches].map(cache => cache.run(signal)));
  }

  get #required() {
    return [this.schedules, this.backfills, this.pools, this.deployments, this.budgets, this.pods];
  }
}
