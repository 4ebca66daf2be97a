import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../../pipeline/directories.ts';
import { ContainerRunner, ImageError, type Launch } from './container.ts';
import { ContainerConfigError, containerEnvironment, expand, unmountable, type ValueSources } from './environment.ts';
import { podStatus, wireTime } from './pod-status.ts';
import type { Container, ContainerStatus, PodStatus, StoredPod } from './resources.ts';

/** Services of the node that a pod needs. */
export interface PodHost {
  readonly hostIP: string;
  /** Working directory of containers: corresponds to WORKDIR of the image. */
  readonly workdir: string;
  /** Folder for this node's pods. */
  readonly dir: string;
  readonly sources: ValueSources;
  /** Returns a kubeconfig for the pod's service account, and its lifetime in milliseconds. */
  credentials(pod: StoredPod): Promise<{ kubeconfig: string; lifetime: number }>;
  event(pod: StoredPod, type: 'Normal' | 'Warning', reason: string, note: string): void;
  /** Called when the pod's status may have changed. */
  changed(pod: StoredPod): void;
}

const TOKEN_MOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** The image with the programs of this project. */
const IMAGE = /^(?:[^@]*\/)?ooni-pipeline(?:[:@].*)?$/;

/** A pod on this node: its containers are processes that share an address of the loopback network. */
export class PodRunner {
  readonly #host: PodHost;
  readonly #dir: string;
  readonly #startTime: string;
  readonly #init: ContainerRunner[];
  readonly #containers: ContainerRunner[];
  #pod: StoredPod;
  #stopping = false;
  #stopped = false;
  #refresh: NodeJS.Timeout | undefined;
  #kubeconfig: Promise<string> | undefined;
  readonly podIP: string;

  constructor(pod: StoredPod, podIP: string, host: PodHost) {
    this.#pod = pod;
    this.#host = host;
    this.podIP = podIP;
    this.#startTime = pod.status?.startTime ?? wireTime();
    this.#dir = podDir(host.dir, pod);
    const before = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
    const make = (container: Container, restartPolicy: string) =>
      new ContainerRunner({
        container,
        restartPolicy,
        podIP,
        dir: join(this.#dir, container.name),
        before: before.find(({ name }) => name === container.name) as ContainerStatus | undefined,
        grace: (pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000,
        prepare: () => this.#prepare(container),
        changed: () => host.changed(this.#pod),
        event: (type, reason, note) => host.event(this.#pod, type, reason, note),
      });
    const policy = pod.spec?.restartPolicy ?? 'Always';
    this.#init = (pod.spec?.initContainers ?? []).map(container =>
      make(container, policy === 'Never' ? 'Never' : 'OnFailure'),
    );
    this.#containers = (pod.spec?.containers ?? []).map(container => make(container, policy));
  }

  get uid(): string {
    return this.#pod.metadata.uid;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** True once all containers are gone for good. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Returns the status to report, based on the current pod. */
  status(now: string): PodStatus {
    const observed = {
      podIP: this.podIP,
      hostIP: this.#host.hostIP,
      startTime: this.#startTime,
      init: this.#init.map(({ status }) => status),
      containers: this.#containers.map(({ status }) => status),
    };
    return podStatus(this.#pod, observed, now);
  }

  /** Replaces the pod with the API server's current version. */
  update(pod: StoredPod): void {
    this.#pod = pod;
  }

  container(name: string): ContainerRunner | undefined {
    return [...this.#init, ...this.#containers].find(container => container.name === name);
  }

  /** Starts the init containers in sequence, then all others. */
  async start(): Promise<void> {
    for (const container of this.#init) {
      await container.start();
      if (this.#stopping || container.status.state?.terminated?.exitCode !== 0) return;
    }
    await Promise.all(this.#containers.map(container => container.start()));
  }

  /** Stops all containers within `grace` milliseconds. A later call can only shorten the time. */
  async stop(grace: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#refresh);
    await Promise.all([...this.#containers, ...this.#init].map(container => container.stop(grace)));
    this.#stopped = true;
  }

  async #prepare(container: Container): Promise<Launch> {
    const spec = this.#pod.spec!;
    if (!IMAGE.test(container.image ?? '')) {
      throw new ImageError(
        `image "${container.image}" cannot be run: this node starts containers as local processes and has the programs of ooni-pipeline only`,
      );
    }
    const problem = unmountable(spec);
    if (problem) throw new ContainerConfigError(problem);
    const facts = { podIP: this.podIP, hostIP: this.#host.hostIP };
    const environment = await containerEnvironment(this.#pod, container, facts, this.#host.sources);
    const tmp = join(this.#dir, 'tmp');
    makeDirectory(tmp);
    const env: Record<string, string> = {
      // The image's own variables: first node, then those of the machine.
      PATH: [join(this.#host.workdir, 'node_modules', '.bin'), process.env.PATH].join(':'),
      ...(process.env.NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE }),
      HOME: tmp,
      TMPDIR: tmp,
      HOSTNAME: this.#pod.metadata.name,
      LANG: 'C.UTF-8',
    };
    if (container.volumeMounts?.some(({ mountPath }) => mountPath === TOKEN_MOUNT)) {
      // A pod in a cluster finds a token under the mount; this one finds a kubeconfig.
      env.KUBECONFIG = await this.#credentials();
    }
    Object.assign(env, environment);
    const command = (container.command ?? []).map(part => expand(part, environment));
    const args = (container.args ?? []).map(part => expand(part, environment));
    // The image's entrypoint is node.
    const [program, ...rest] = command.length > 0 ? [...command, ...args] : ['node', ...args];
    return {
      command: program === 'node' ? process.execPath : program!,
      args: rest,
      env,
      cwd: container.workingDir ?? this.#host.workdir,
    };
  }

  /** Writes the kubeconfig of the pod's service account, and rewrites it before its token expires. */
  #credentials(): Promise<string> {
    const file = join(this.#dir, 'kubeconfig');
    const write = async (): Promise<string> => {
      const { kubeconfig, lifetime } = await this.#host.credentials(this.#pod);
      writeFileSync(`${file}.part`, kubeconfig, { mode: 0o600 });
      renameSync(`${file}.part`, file);
      this.#later(lifetime * 0.8, write);
      return file;
    };
    this.#kubeconfig ??= write().catch(error => {
      this.#kubeconfig = undefined;
      throw error;
    });
    return this.#kubeconfig;
  }

  #later(ms: number, write: () => Promise<string>): void {
    if (this.#stopping) return;
    this.#refresh = setTimeout(() => {
      write().catch((error: Error) => {
        this.#host.event(this.#pod, 'Warning', 'TokenNotRenewed', error.message);
        this.#later(30_000, write);
      });
    }, ms);
    this.#refresh.unref();
  }
}

/** Returns the folder of a pod's containers, named by its uid: a later pod of the same name gets another folder. */
export function podDir(dir: string, pod: StoredPod): string {
  return join(dir, `${pod.metadata.namespace}_${pod.metadata.name}_${pod.metadata.uid}`);
}
