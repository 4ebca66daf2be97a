import { globSync, readFileSync, rmSync } from 'node:fs';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { CONFIG_MAPS, PODS, type Pod, SECRETS } from '../../operator/kube/builtin.ts';
import { Cache } from '../../operator/kube/cache.ts';
import { Client } from '../../operator/kube/client.ts';
import { connectionSource } from '../../operator/kube/config.ts';
import { ConflictError, NotFoundError } from '../../operator/kube/errors.ts';
import { Http } from '../../operator/kube/http.ts';
import { createInstruments, type Instruments } from '../../operator/kube/instruments.ts';
import { WorkQueue } from '../../operator/kube/queue.ts';
import { type Key, keyOf, pathOf } from '../../operator/kube/resource.ts';
import { makeDirectory } from '../../pipeline/directories.ts';
import { endProcess, readPid } from '../process.ts';
import { createEndpoint } from './endpoint.ts';
import { PodEvents } from './events.ts';
import { PodRunner, podDir } from './pod.ts';
import { wireTime } from './pod-status.ts';
import { registerNode, renewLease } from './registration.ts';
import type { PodStatus, StoredPod } from './resources.ts';

export interface NodeOptions {
  readonly name: string;
  /** Kubeconfig of user `system:node:<name>`. */
  readonly kubeconfig: string;
  /** The API server's serving certificate: both ends of the log endpoint use it. */
  readonly certificate: { readonly cert: string; readonly key: string };
  /** Folder of logs and pid files of the pods. */
  readonly dir: string;
  /** Working directory of containers. */
  readonly workdir: string;
  readonly log: Logger;
}

const HOST_IP = '127.0.0.1';
const LEASE_PERIOD = 10_000;
const HEARTBEAT_PERIOD = 300_000;
/** Requested lifetime of pod tokens in seconds. The kubelet requests the same. */
const TOKEN_SECONDS = 3607;

/**
 * A node that runs pods as local processes, like a kubelet runs containers. It registers itself, accepts the pods that the scheduler binds
 * to it, and starts their containers of image `ooni-pipeline` with Node in the project's folder. It probes, restarts and stops them,
 * reports their status and serves their logs. Each pod has its own address in 127.0.0.0/8. Requests and limits are not enforced, and file
 * systems are not separated.
 */
export class LocalNode {
  readonly #options: NodeOptions;
  readonly #client: Client;
  readonly #http: Http;
  readonly #instruments: Instruments;
  readonly #events: PodEvents;
  readonly #pods: Cache<Pod>;
  readonly #queue: WorkQueue;
  readonly #runners = new Map<Key, PodRunner>();
  readonly #stop = new AbortController();
  readonly #work: Promise<unknown>[] = [];
  #server: Server | undefined;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#instruments = createInstruments({ log: options.log });
    this.#http = new Http(connectionSource({ kubeconfig: options.kubeconfig }), { userAgent: 'ooni-local-node' });
    this.#client = new Client(this.#http, { fieldManager: 'ooni-local-node' });
    this.#events = new PodEvents(this.#client, options.name, options.log);
    this.#pods = new Cache(this.#client, PODS, {
      instruments: this.#instruments,
      fieldSelector: `spec.nodeName=${options.name}`,
    });
    this.#queue = new WorkQueue({
      name: 'pods',
      instruments: this.#instruments,
      concurrency: 8,
      waits: { initial: 200, longest: 10_000 },
    });
  }

  /** Registers the node and starts to run its pods. Throws the errors of the API server. */
  async start(): Promise<void> {
    const { name, dir, certificate } = this.#options;
    makeDirectory(dir);
    await endLeftoverPods(dir);
    this.#server = createEndpoint(certificate, (namespace, pod, container) => {
      const runner = this.#runners.get(keyOf({ namespace, name: pod }))?.container(container);
      return runner && { current: runner.log, previous: runner.previousLog };
    });
    await new Promise<void>(resolve => this.#server!.listen(0, HOST_IP, resolve));
    const facts = { name, hostIP: HOST_IP, port: (this.#server.address() as AddressInfo).port };
    await registerNode(this.#client, facts);
    await renewLease(this.#client, name);
    this.#every(LEASE_PERIOD, () => renewLease(this.#client, name));
    this.#every(HEARTBEAT_PERIOD, () => registerNode(this.#client, facts));
    this.#pods.onChange(({ object }) => this.#queue.add(keyOf(object)));
    const { signal } = this.#stop;
    this.#work.push(this.#pods.run(signal));
    await this.#pods.whenSynced(signal);
    this.#work.push(this.#queue.run(key => this.#sync(key), signal));
  }

  /**
   * Stops all containers, within `grace` milliseconds each, and the node. The pods stay bound to it, as to a machine that is switched off:
   * the next start runs them again.
   */
  async stop(grace = 10_000): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#runners.values()].map(runner => runner.stop(grace)));
    await Promise.allSettled(this.#work);
    await this.#events.flush();
    this.#server?.closeAllConnections();
    this.#server?.close();
    await this.#http.close();
  }

  /** Reconciles a pod's processes and its status in the API. */
  async #sync(key: Key): Promise<void> {
    const pod = this.#pods.get(key);
    let runner = this.#runners.get(key);
    if (runner && runner.uid !== pod?.metadata.uid) {
      // Deleted by force: nothing waits for the processes, and a successor of the same name may already exist.
      await runner.stop(0);
      this.#runners.delete(key);
      runner = undefined;
    }
    if (!pod) return;
    try {
      if (pod.metadata.deletionTimestamp) return await this.#terminate(key, pod, runner);
      if (!runner) {
        if (['Succeeded', 'Failed'].includes(pod.status?.phase ?? '')) return;
        runner = new PodRunner(pod, this.#freeAddress(pod), this.#host());
        this.#runners.set(key, runner);
        void runner.start();
      }
      runner.update(pod);
      await this.#report(pod, runner);
      this.#queue.forget(key);
    } catch (error) {
      if (error instanceof NotFoundError) return;
      if (!(error instanceof ConflictError)) {
        this.#options.log.warn({ pod: key, error: (error as Error).message }, 'pod could not be synchronised');
      }
      this.#queue.retry(key);
    }
  }

  /** Stops a pod that is being deleted, reports how its containers ended, and completes the deletion. */
  async #terminate(key: Key, pod: StoredPod, runner: PodRunner | undefined): Promise<void> {
    if (runner) {
      runner.update(pod);
      const seconds = (pod.metadata as { deletionGracePeriodSeconds?: number }).deletionGracePeriodSeconds ?? 30;
      if (!runner.stopping) this.#event(pod, 'Normal', 'Killing', 'Stopping containers');
      if (!runner.stopped) {
        // This does not wait: a second, shorter deletion must get through.
        void runner.stop(seconds * 1000).then(() => this.#queue.add(key));
        return;
      }
      await this.#report(pod, runner);
    }
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      gracePeriodSeconds: 0,
      preconditions: { uid: pod.metadata.uid },
    };
    const { namespace, name } = pod.metadata;
    await this.#http.request({ method: 'DELETE', path: pathOf(PODS, namespace, name), body });
    this.#runners.delete(key);
    rmSync(podDir(this.#options.dir, pod), { recursive: true, force: true });
  }

  async #report(pod: StoredPod, runner: PodRunner): Promise<void> {
    const status = runner.status(wireTime());
    if (same(pod.status as PodStatus | undefined, status)) return;
    const patch = { metadata: { uid: pod.metadata.uid }, status };
    const { namespace, name } = pod.metadata;
    await this.#client.patch(PODS, { namespace, name }, patch, { subresource: 'status' });
  }

  #host() {
    const { dir, workdir } = this.#options;
    return {
      hostIP: HOST_IP,
      dir,
      workdir,
      sources: {
        configMap: async (namespace: string, name: string) =>
          (await this.#client.find(CONFIG_MAPS, { namespace, name }))?.data ?? undefined,
        secret: async (namespace: string, name: string) => {
          const data = (await this.#client.find(SECRETS, { namespace, name }))?.data;
          return (
            data &&
            Object.fromEntries(
              Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
            )
          );
        },
      },
      credentials: (pod: StoredPod) => this.#credentials(pod),
      event: (pod: StoredPod, type: 'Normal' | 'Warning', reason: string, note: string) =>
        this.#event(pod, type, reason, note),
      changed: (pod: StoredPod) => this.#queue.add(keyOf(pod)),
    };
  }

  #event(pod: StoredPod, type: 'Normal' | 'Warning', reason: string, note: string): void {
    if (!this.#stop.signal.aborted) this.#events.record(pod, type, reason, note);
  }

  /** Requests a token of the pod's service account, bound to the pod. Returns it in a kubeconfig, with its lifetime in milliseconds. */
  async #credentials(pod: StoredPod): Promise<{ kubeconfig: string; lifetime: number }> {
    const { namespace, name, uid } = pod.metadata;
    const account = pod.spec?.serviceAccountName || 'default';
    const { status } = await this.#http.request<{ status: { token: string; expirationTimestamp: string } }>({
      method: 'POST',
      path: `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds: TOKEN_SECONDS, boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid } },
      },
    });
    const own = JSON.parse(readFileSync(this.#options.kubeconfig, 'utf8')) as { clusters: { name: string }[] };
    const [cluster] = own.clusters;
    const kubeconfig = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'pod',
      clusters: [cluster],
      users: [{ name: account, user: { token: status.token } }],
      contexts: [{ name: 'pod', context: { cluster: cluster?.name, user: account, namespace } }],
    };
    return { kubeconfig: JSON.stringify(kubeconfig), lifetime: Date.parse(status.expirationTimestamp) - Date.now() };
  }

  /** Returns an address of 127.64.0.0/10 that no other pod here has: the previous address of the pod, if it is free. */
  #freeAddress(pod: StoredPod): string {
    const taken = new Set([...this.#runners.values()].map(({ podIP }) => podIP));
    let address = pod.status?.podIP;
    while (!address || taken.has(address)) {
      const part = (span: number) => Math.floor(Math.random() * span);
      address = `127.${64 + part(64)}.${part(256)}.${1 + part(254)}`;
    }
    return address;
  }

  /** Repeats an action until the node stops. A failure is logged, and the next repetition retries it. */
  #every(ms: number, action: () => Promise<void>): void {
    const { signal } = this.#stop;
    const loop = async () => {
      while (!signal.aborted) {
        await sleep(ms, undefined, { signal }).catch(() => undefined);
        if (signal.aborted) return;
        try {
          await action();
        } catch (error) {
          this.#options.log.warn({ error: (error as Error).message }, 'the status of the node could not be renewed');
        }
      }
    };
    this.#work.push(loop());
  }
}

/** Compares two statuses. Ignores the fields that the API server adds, and treats absent and empty as equal. */
function same(stored: PodStatus | undefined, status: PodStatus): boolean {
  const before = plain(stored ?? {});
  return Object.entries(plain(status)).every(([key, value]) => isDeepStrictEqual(before[key], value));
}

function plain(status: object): Record<string, unknown> {
  const text = JSON.stringify(status, (key, value) => (ADDED.has(key) || isEmpty(value) ? undefined : value));
  return JSON.parse(text) as Record<string, unknown>;
}

/** Fields that the API server adds. */
const ADDED = new Set(['lastProbeTime', 'observedGeneration']);

function isEmpty(value: unknown): boolean {
  if (value === null) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** Ends the processes of containers that an earlier node on this folder left. Returns them as `name (process 123)`. */
export async function endLeftoverPods(dir: string): Promise<string[]> {
  const ended = globSync('*/*/pid', { cwd: dir }).map(async file => {
    const left = readPid(join(dir, file));
    const ends = left !== undefined && (await endProcess(left, { group: true }));
    rmSync(join(dir, file), { force: true });
    return ends ? [`${basename(dirname(file))} (process ${left.pid})`] : [];
  });
  return (await Promise.all(ended)).flat();
}
