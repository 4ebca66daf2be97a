import { setTimeout as delay } from 'node:timers/promises';
import { Connection, Client as TemporalClient } from '@temporalio/client';
import type { Backfill } from '../../crds/backfill.ts';
import type { PipelineSchedule } from '../../crds/pipeline-schedule.ts';
import { ANNOTATIONS } from '../../crds/resource.ts';
import type { WorkerPool } from '../../crds/worker-pool.ts';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { canonical } from '../../operator/hash.ts';
import { CONFIG_MAPS, DEPLOYMENTS, DISRUPTION_BUDGETS, LEASES } from '../../operator/kube/builtin.ts';
import type { Client } from '../../operator/kube/client.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import { DATASET_NAMES } from '../../pipeline/reference/datasets.ts';
import { BACKFILL_MESSAGES, WORKFLOWS } from '../../worker/contract.ts';
import { type Fault, nameOf, randomFaults } from './fault.ts';
import { ApiProxy, kubeconfigFor } from './kubeconfig-proxies.ts';
import {
  adminClient,
  eventually,
  makeOperatorAccount,
  makeTemporalNamespace,
  NAMESPACES,
  OperatorProcess,
} from './operator.ts';
import { emptyBuckets, StubWorker } from './stub-worker.ts';
import { TemporalProxy } from './temporal-proxy.ts';

/** Objects in Kubernetes and Temporal by name, without times, uids and other values that differ between two runs. */
export type State = Readonly<Record<string, unknown>>;

/** A step of the life of the resources. `changes` is made by a user; afterwards the operator writes until `settled` holds. */
interface Phase {
  readonly name: string;
  changes(run: OperatorLife): Promise<unknown>;
  settled(state: State): boolean;
}

/** Returns whether a request of the operator belongs to no reconcile: of its lease and of events. */
const isAside = (path: string) => /\/(leases|events)\b/.test(path);

/** Kinds whose status the operator writes. */
const OURS = new Set(['Backfill', 'PipelineSchedule', 'WorkerPool']);

const BUCKETS = Array.from({ length: 10 }, (_, day) => `2024-01-${String(day + 1).padStart(2, '0')}`);
/** No node has this label, so no pod of these tests ever runs. */
const NOWHERE = { spec: { nodeSelector: { nowhere: 'true' } } };
const DEFAULT_POOL = (slots: number) => JSON.stringify({ replicas: 0, tasks: ['Workflows'], slots, template: NOWHERE });

type Status = Partial<Record<string, unknown>> & {
  readonly progress?: { readonly active?: number };
  readonly phase?: string;
  readonly conditions?: readonly { readonly reason: string }[];
  readonly requestedRun?: { readonly state: string };
};
const object = (state: State, name: string) =>
  state[name] as { readonly status?: Status; readonly spec?: object } | undefined;
const has = (state: State, name: string, reason: string) =>
  object(state, name)?.status?.conditions?.some(one => one.reason === reason) === true;
const active = (state: State, name: string, count: number) => object(state, name)?.status?.progress?.active === count;

/** One write of each kind that the operator makes: create, update, scale, cancel, delete, in Kubernetes and in Temporal. */
export const PHASES: readonly Phase[] = [
  {
    name: 'start',
    changes: async run => {
      const metadata = { name: 'pools', namespace: run.namespace };
      await run.client.create(CONFIG_MAPS, { metadata, data: { base: DEFAULT_POOL(1) } });
      run.startOperator();
    },
    settled: state =>
      has(state, 'WorkerPool/base', 'Available') &&
      Object.keys(state).filter(name => name.startsWith('schedule ')).length === DATASET_NAMES.length,
  },
  {
    name: 'create',
    changes: async ({ client, namespace }) => {
      for (const name of ['x', 'y']) {
        const spec = {
          startAt: '2024-01-01',
          endAt: '2024-01-11',
          maxActiveRuns: 2,
          ...(name === 'y' && { probeCC: ['IT'] }),
        };
        await client.create(BACKFILLS, { metadata: { name, namespace }, spec } as Backfill);
      }
      const spec = { schedule: '0 2 29 2 *' };
      await client.create(PIPELINE_SCHEDULES, { metadata: { name: 's', namespace }, spec } as PipelineSchedule);
      const pool = { replicas: 0, template: NOWHERE };
      await client.create(WORKER_POOLS, { metadata: { name: 'w', namespace }, spec: pool } as unknown as WorkerPool);
    },
    settled: state =>
      active(state, 'Backfill/x', 2) &&
      active(state, 'Backfill/y', 2) &&
      has(state, 'PipelineSchedule/s', 'Scheduled') &&
      has(state, 'WorkerPool/w', 'Available'),
  },
  {
    name: 'update',
    changes: async ({ client, namespace }) => {
      await client.patch(BACKFILLS, { name: 'x', namespace }, { spec: { maxActiveRuns: 3 } });
      const annotations = { [ANNOTATIONS.runBucket]: '2023-05-05' };
      const change = { metadata: { annotations }, spec: { schedule: '0 3 29 2 *' } };
      await client.patch(PIPELINE_SCHEDULES, { name: 's', namespace }, change);
      await client.patch(WORKER_POOLS, { name: 'w', namespace }, { spec: { slots: 3 } });
      await client.patch(CONFIG_MAPS, { name: 'pools', namespace }, { data: { base: DEFAULT_POOL(4) } });
    },
    settled: state =>
      active(state, 'Backfill/x', 3) &&
      object(state, 'PipelineSchedule/s')?.status?.requestedRun?.state === 'Running' &&
      JSON.stringify(state).includes('0 3 29 2 *') &&
      JSON.stringify(state['Deployment/ooni-worker-w']).includes('"WORKER_SLOTS","value":"3"') &&
      JSON.stringify(state['Deployment/ooni-worker-base']).includes('"WORKER_SLOTS","value":"4"'),
  },
  {
    name: 'scale',
    changes: async ({ client, namespace }) => {
      await client.patch(WORKER_POOLS, { name: 'w', namespace }, { spec: { replicas: 1 } });
      await client.patch(BACKFILLS, { name: 'x', namespace }, { spec: { suspend: true } });
      await client.patch(PIPELINE_SCHEDULES, { name: 's', namespace }, { spec: { suspend: true } });
    },
    settled: state =>
      object(state, 'Backfill/x')?.status?.phase === 'Suspended' &&
      has(state, 'PipelineSchedule/s', 'Suspended') &&
      (object(state, 'Deployment/ooni-worker-w')?.spec as { replicas?: number })?.replicas === 1 &&
      has(state, 'WorkerPool/w', 'RollingOut'),
  },
  {
    name: 'cancel',
    changes: ({ client, namespace }) => client.patch(BACKFILLS, { name: 'x', namespace }, { spec: { cancel: 'Now' } }),
    settled: state => object(state, 'Backfill/x')?.status?.phase === 'Cancelled' && active(state, 'Backfill/x', 0),
  },
  {
    name: 'delete',
    changes: async ({ client, namespace }) => {
      for (const name of ['x', 'y']) await client.delete(BACKFILLS, { name, namespace });
      await client.delete(PIPELINE_SCHEDULES, { name: 's', namespace });
      await client.delete(WORKER_POOLS, { name: 'w', namespace });
      await client.patch(CONFIG_MAPS, { name: 'pools', namespace }, { data: { base: null } });
    },
    settled: state =>
      !Object.keys(state).some(name => name.includes('/')) && JSON.stringify(state).includes('Draining'),
  },
];

/** Fields of a status that depend on time: rates, and the load that Temporal and its workers report. */
const MEASURED = new Set(['rate', 'eta', 'noProgressSince', 'queues', 'backlog']);

/** Operators were killed many times and did not bring a phase to its end. */
class NoProgressError extends Error {}

/** Looks in a row at an unchanged state after which a phase has ended. */
const STILL = 5;
/** Seconds that an operator has to bring a phase to its end. It needs about ten without faults. */
const PATIENCE = 180;

/** Names of gRPC statuses with which Temporal's frontend answers when it is away, overloaded or slow. */
const GRPC_STATUS: Readonly<Record<number, string>> = {
  4: 'DEADLINE_EXCEEDED',
  8: 'RESOURCE_EXHAUSTED',
  14: 'UNAVAILABLE',
};
/** HTTP statuses of faults of reads and writes. The API server answers a watch with 410 when its history is too short. */
const HTTP_STATUS = { write: [409, 429, 500], read: [429, 500], watch: [410, 429, 500] } as const;

export interface LifeOptions {
  readonly kubeconfig: string;
  /** host:port of Temporal. */
  readonly address: string;
  /** Name of the namespaces in Kubernetes and in Temporal, and of the installation. */
  readonly name: string;
  /** Kills the operator after every nth write. Absent: never. */
  readonly killEvery?: number;
  /** Disturbs requests at random with this seed. Absent: never. */
  readonly seed?: number;
}

/** Requests of each phase that a seed may disturb. The phase then ends without faults. */
const DISTURBED = { kubernetes: 40, temporal: 25 };

/**
 * The life of some resources under an operator of their own, whose requests go through two proxies. The operator is killed after some of its
 * writes, without the response, and another one continues; or some of its requests meet faults.
 */
export class OperatorLife {
  readonly namespace: string;
  readonly client: Client;
  /** Writes since the operator was started or the phase began. */
  writes: string[] = [];
  /** Kinds of faults that were caused, with their numbers. */
  readonly faults = new Map<string, number>();
  readonly #options: LifeOptions;
  readonly #temporalProxy: TemporalProxy;
  #apiProxy: ApiProxy | undefined;
  #config: Awaited<ReturnType<typeof kubeconfigFor>> | undefined;
  #temporal: TemporalClient | undefined;
  #worker: StubWorker | undefined;
  #operator: OperatorProcess | undefined;
  #env: Record<string, string> = {};
  #killing: Promise<void> | undefined;
  #armed = false;
  #released = false;
  /** Requests that may still be disturbed in the current phase. */
  #disturbed = { kubernetes: 0, temporal: 0 };

  constructor(options: LifeOptions) {
    this.#options = options;
    this.namespace = options.name;
    this.client = adminClient(options.kubeconfig);
    this.#temporalProxy = new TemporalProxy(options.address);
  }

  async open(): Promise<void> {
    const { namespace, client } = this;
    const { kubeconfig, address } = this.#options;
    await makeTemporalNamespace(address, namespace);
    const account = await makeOperatorAccount(client, kubeconfig, namespace);
    this.#apiProxy = new ApiProxy(account);
    this.#config = await kubeconfigFor(await this.#apiProxy.start());
    this.#env = {
      INSTALLATION: namespace,
      KUBECONFIG: this.#config.path,
      TEMPORAL_ADDRESS: await this.#temporalProxy.start(),
      TEMPORAL_NAMESPACE: namespace,
      OPERATOR_NAMESPACES: namespace,
      OPERATOR_LEASE_NAMESPACE: namespace,
      OPERATOR_DEFAULT_POOLS: 'pools',
    };
    this.#apiProxy.onWrite = ({ method, path }) =>
      isAside(path) || this.#onWrite(`${method} ${path.replace(/\?.*/, '').replace(namespace, 'NAMESPACE')}`);
    this.#temporalProxy.onWrite = method => this.#onWrite(method);
    if (this.#options.seed !== undefined) this.#disturb(this.#options.seed);
    this.#temporal = new TemporalClient({
      connection: await Connection.connect({ address }),
      namespace,
    });
    this.#worker = await StubWorker.start({
      address,
      namespace,
      installation: namespace,
      activities: emptyBuckets(BUCKETS, () => !this.#released),
    });
  }

  async close(): Promise<void> {
    this.#released = true;
    this.#armed = false;
    await this.#operator?.kill();
    await this.#worker?.stop();
    await this.#temporal?.connection.close();
    await this.#apiProxy?.stop();
    this.#temporalProxy.stop();
    await this.#config?.remove();
    const { client, namespace } = this;
    for (const resource of [BACKFILLS, PIPELINE_SCHEDULES] as Resource[]) {
      for (const { metadata } of await client.list(resource, { namespace })) {
        await client.patch(resource, metadata, { metadata: { finalizers: null } });
      }
    }
    await client.delete(NAMESPACES, { name: namespace });
    await client.http.close();
  }

  #disturb(seed: number): void {
    const proxy = this.#apiProxy as ApiProxy;
    const faults = {
      write: randomFaults(seed, HTTP_STATUS.write),
      read: randomFaults(seed + 1, HTTP_STATUS.read),
      watch: randomFaults(seed + 2, HTTP_STATUS.watch),
      temporal: randomFaults(seed + 3, Object.keys(GRPC_STATUS).map(Number)),
    };
    proxy.fault = ({ method, path }) => {
      if (isAside(path) || this.#disturbed.kubernetes <= 0) return undefined;
      this.#disturbed.kubernetes--;
      if (method !== 'GET') return this.#cause(faults.write());
      if (!path.includes('watch=true')) return this.#cause(faults.read());
      const fault = faults.watch();
      // A watch has no end that the proxy could wait for.
      return fault === 'replay' || fault === 'lose' ? undefined : this.#cause(fault);
    };
    this.#temporalProxy.fault = () => {
      if (this.#disturbed.temporal <= 0) return undefined;
      this.#disturbed.temporal--;
      return this.#cause(faults.temporal(), GRPC_STATUS);
    };
  }

  /** Lets the runs end, which have waited until now. */
  release(): void {
    this.#released = true;
  }

  startOperator(): void {
    this.#operator = new OperatorProcess(this.#env);
  }

  /** What the operators have logged. */
  get output(): string {
    return this.#operator?.output ?? '';
  }

  #onWrite(write: string): boolean {
    if (!this.#armed) return true;
    this.writes.push(write);
    if (this.writes.length !== this.#options.killEvery) return this.#killing === undefined;
    this.#killing = this.#operator?.kill();
    return false;
  }

  /** Runs a phase without a fault. Returns the state at its end, when it does not change any more. */
  async undisturbed(phase: Phase): Promise<State> {
    this.#begin();
    await phase.changes(this);
    let last: State = {};
    let same = 0;
    const state = await eventually(async () => {
      const now = await this.state();
      if (!phase.settled(now)) throw new Error(`not settled in phase ${phase.name}: ${JSON.stringify(now)}`);
      const changes = differences(last, now);
      last = now;
      same = changes.length > 0 ? 0 : same + 1;
      if (same >= STILL) return now;
      throw new Error(`still changes in phase ${phase.name}: ${changes.join('; ')}`);
    }, PATIENCE);
    this.#armed = false;
    return state;
  }

  /**
   * Runs a phase, kills the operator again and again, each time after its nth write, whose response it does not get, and starts another one.
   * `most`: kills after which the operators are taken not to progress. Returns for each kill the writes whose responses were withheld, and
   * calls `onKill` with them. Rejects if the state does not become `expected`.
   */
  async killed(
    phase: Phase,
    expected: State,
    most: number,
    onKill: (lost: readonly string[]) => void,
  ): Promise<string[][]> {
    const killedAfter: string[][] = [];
    const nth = this.#options.killEvery ?? 1;
    this.#begin();
    await phase.changes(this);
    await this.#reach(phase, expected, async isReached => {
      if (this.#killing) {
        await this.#killing;
        const lost = this.writes.slice(nth - 1);
        killedAfter.push(lost);
        onKill(lost);
        if (killedAfter.length > most)
          throw new NoProgressError(`no progress after the writes ${killedAfter.flat().join(', ')}`);
        // The lease of a killed process expires by itself; this test does not wait for that each time.
        for (const { metadata } of await this.client.list(LEASES, { namespace: this.namespace })) {
          await this.client.delete(LEASES, metadata);
        }
        this.#begin();
        this.startOperator();
      }
      return (await isReached()) && !this.#killing;
    });
    this.#armed = false;
    return killedAfter;
  }

  /** Runs a phase without kills, and if there is a seed, its first requests meet faults. Rejects if the state does not become `expected`. */
  async reaches(phase: Phase, expected: State): Promise<void> {
    this.#disturbed = { ...DISTURBED };
    await phase.changes(this);
    await this.#reach(phase, expected, isReached => isReached());
  }

  /** Waits until a state stays as it is, and rejects if it is not `expected`. */
  async stays(phase: Phase, expected: State): Promise<void> {
    let same = 0;
    await this.#reach(phase, expected, async isReached => {
      same = (await isReached()) ? same + 1 : 0;
      return same > STILL;
    });
  }

  async #reach(
    phase: Phase,
    expected: State,
    look: (isReached: () => Promise<boolean>) => Promise<boolean>,
  ): Promise<void> {
    const text = JSON.stringify(expected);
    let last: State | undefined;
    let end = performance.now() + PATIENCE * 1000;
    let problem: unknown;
    let operator = this.#operator;
    for (;;) {
      try {
        const isReached = async () => {
          last = await this.state();
          return JSON.stringify(last) === text;
        };
        if (await look(isReached)) return;
        problem = undefined;
      } catch (error) {
        // An object may go while it is looked at, and a busy worker may not answer a query in time.
        problem = error;
      }
      // Another operator, after a kill, has as much time.
      if (operator !== this.#operator) end = performance.now() + PATIENCE * 1000;
      operator = this.#operator;
      if (problem instanceof NoProgressError || performance.now() > end) break;
      await delay(250);
    }
    const changes = differences(expected, last ?? {}).join('; ');
    const output = this.output.slice(-3000);
    const message = `${this.namespace}, phase ${phase.name}: another state than undisturbed: ${changes}; ${problem ?? `not within ${PATIENCE} s`}; the operator logged: ${output}`;
    if (process.env.FAULTS_DEBUG) console.log(message);
    throw new Error(message, { cause: problem });
  }

  #cause(fault: Fault | undefined, statuses?: Readonly<Record<number, string>>): Fault | undefined {
    if (fault !== undefined) {
      const name = nameOf(fault, statuses);
      this.faults.set(name, (this.faults.get(name) ?? 0) + 1);
    }
    return fault;
  }

  #begin(): void {
    this.writes = [];
    this.#killing = undefined;
    this.#armed = true;
  }

  /** Reads the objects of this life. */
  async state(): Promise<State> {
    const { client, namespace } = this;
    const state: Record<string, unknown> = {};
    for (const resource of [
      BACKFILLS,
      PIPELINE_SCHEDULES,
      WORKER_POOLS,
      DEPLOYMENTS,
      DISRUPTION_BUDGETS,
    ] as Resource[]) {
      for (const { kind, metadata, spec, status } of (await client.list(resource, { namespace })) as never[] as {
        kind: string;
        metadata: {
          name: string;
          finalizers?: string[];
          deletionTimestamp?: string;
          labels?: object;
          ownerReferences?: object[];
        };
        spec: object;
        status?: Record<string, unknown>;
      }[]) {
        const { name, finalizers, deletionTimestamp, labels, ownerReferences } = metadata;
        const rest = Object.fromEntries(Object.entries(status ?? {}).filter(([field]) => !MEASURED.has(field)));
        state[`${kind}/${name}`] = {
          ...{ finalizers, deleted: deletionTimestamp !== undefined, labels, ownerReferences, spec },
          ...(OURS.has(kind) && { status: rest }),
        };
      }
    }
    const temporal = this.#temporal as TemporalClient;
    const query = `OoniInstallation = '${namespace}'`;
    const counts = new Map<string, number>();
    for await (const { workflowId, type, status, memo } of temporal.workflow.list({ query })) {
      const count = (counts.get(workflowId) ?? 0) + 1;
      counts.set(workflowId, count);
      const { startedAt: _, ...kept } = memo ?? {};
      const progress =
        type === WORKFLOWS.backfill && status.name === 'RUNNING'
          ? await temporal.workflow
              .getHandle(workflowId)
              .query<{ phase: string; active: number; maxActiveRuns: number }>(BACKFILL_MESSAGES.progress)
          : undefined;
      state[`workflow ${workflowId} ${count}`.replaceAll('/', ':')] = {
        ...{ type, status: status.name, memo: kept },
        ...(progress && { phase: progress.phase, active: progress.active, most: progress.maxActiveRuns }),
      };
    }
    for await (const { scheduleId } of temporal.schedule.list({ query })) {
      const { schedule } = (await temporal.schedule.getHandle(scheduleId).describe()).raw;
      const { spec, policies, state: paused, action } = schedule ?? {};
      const start = action?.startWorkflow;
      const memo = Object.fromEntries(
        Object.entries(start?.memo?.fields ?? {}).map(([name, { data }]) => [name, Buffer.from(data ?? []).toString()]),
      );
      const input = Buffer.from(start?.input?.payloads?.[0]?.data ?? []).toString();
      state[`schedule ${scheduleId}`.replaceAll('/', ':')] = {
        spec,
        policies,
        paused,
        type: start?.workflowType,
        memo,
        input,
      };
    }
    return comparable(state, namespace);
  }
}

/** Returns the objects that differ between two states, with both values. */
function differences(before: State, after: State): string[] {
  return Object.keys({ ...before, ...after })
    .filter(name => JSON.stringify(after[name]) !== JSON.stringify(before[name]))
    .map(name => `${name}: ${JSON.stringify(before[name])} -> ${JSON.stringify(after[name])}`);
}

/** Replaces what differs between two runs by fixed words, and sorts. */
function comparable(state: Record<string, unknown>, namespace: string): State {
  // Sorted keys, because Temporal returns a memo in any order.
  const text = canonical(state)
    .replaceAll(namespace, 'NAMESPACE')
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UID')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, 'TIME')
    .replaceAll(/(ooni-worker-[a-z0-9]+)-[a-z0-9]+-[a-z0-9]{5}\b/g, '$1-POD')
    // Hashes contain the uid of the owner.
    .replaceAll(/\b[0-9a-f]{16,64}\b/g, 'HASH');
  return JSON.parse(canonical(JSON.parse(text))) as State;
}
