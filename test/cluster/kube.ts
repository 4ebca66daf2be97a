import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { programPath } from '../../local/programs.ts';
import { command, until } from './command.ts';

export const CHART = join(import.meta.dirname, '..', '..', 'helm', 'ooni-pipeline');
/** Name of the release in each namespace. */
export const RELEASE = 'ooni';

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

/** The parts of an object that the steps read. */
export interface Found {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
    readonly annotations?: Record<string, string>;
    readonly labels?: Record<string, string>;
  };
  readonly spec?: Record<string, unknown>;
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly Condition[];
    readonly progress?: Readonly<Record<string, number>>;
    readonly plan?: unknown;
    readonly readyReplicas?: number;
    readonly desiredReplicas?: number;
  };
}

/** kubectl and helm for one namespace of a cluster. */
export class Kube {
  readonly kubeconfig: string;
  readonly namespace: string;

  constructor(kubeconfig: string, namespace: string) {
    this.kubeconfig = kubeconfig;
    this.namespace = namespace;
  }

  /** Runs kubectl in the namespace. Returns its output. */
  kubectl(args: readonly string[], stdin?: string): Promise<string> {
    return command(programPath('kubectl'), ['--namespace', this.namespace, ...args], {
      env: { KUBECONFIG: this.kubeconfig },
      ...(stdin !== undefined && { stdin }),
    });
  }

  /** Runs Helm in the namespace. Returns its output. */
  helm(args: readonly string[]): Promise<string> {
    return command(programPath('helm'), ['--namespace', this.namespace, ...args], {
      env: { KUBECONFIG: this.kubeconfig },
    });
  }

  /** Installs or upgrades the release and waits until it is ready, at most `timeout` in the form of Helm. */
  async release(verb: 'install' | 'upgrade', values: object, timeout: string): Promise<void> {
    const file = join(tmpdir(), `ooni-values-${process.pid}.json`);
    writeFileSync(file, JSON.stringify(values), { mode: 0o600 });
    try {
      await this.helm([verb, RELEASE, CHART, '-f', file, '--wait', '--timeout', timeout]);
    } finally {
      rmSync(file);
    }
  }

  /** Forwards a free port of this machine to a port of a Service. Returns its URL. Throws with kubectl's output if it ends. */
  async forward(service: string, port: number): Promise<{ url: string; stop: () => Promise<void> }> {
    const child = spawn(
      programPath('kubectl'),
      ['--namespace', this.namespace, 'port-forward', `service/${service}`, `:${port}`],
      { env: { ...process.env, KUBECONFIG: this.kubeconfig }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const ended = once(child, 'close');
    const said: string[] = [];
    createInterface({ input: child.stderr }).on('line', line => said.push(line));
    const listening = new Promise<string>(resolve =>
      createInterface({ input: child.stdout }).on('line', line => {
        const found = /^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
        if (found) resolve(`http://127.0.0.1:${found}`);
      }),
    );
    const url = await Promise.race([listening, ended.then(() => undefined)]);
    if (!url) throw new Error(`kubectl port-forward to ${service} ended: ${said.join('; ')}`);
    return {
      url,
      stop: async () => {
        child.kill();
        await ended;
      },
    };
  }

  apply(object: object): Promise<string> {
    return this.kubectl(['apply', '-f', '-'], JSON.stringify(object));
  }

  async list(resource: string, selector = ''): Promise<Found[]> {
    const text = await this.kubectl(['get', resource, '-o', 'json', ...(selector ? ['-l', selector] : [])]);
    return (JSON.parse(text) as { items: Found[] }).items;
  }

  async get(resource: string, name: string): Promise<Found | undefined> {
    const text = await this.kubectl(['get', resource, name, '--ignore-not-found', '-o', 'json']);
    return text === '' ? undefined : (JSON.parse(text) as Found);
  }

  /** Waits with `kubectl wait`, as a script of a user does. */
  async wait(condition: string, object: string, seconds: number): Promise<void> {
    await this.kubectl(['wait', `--for=condition=${condition}`, object, `--timeout=${seconds}s`]);
  }

  /** Waits until a Backfill has completed that many buckets. Throws when it ended before. */
  async backfillReaches(name: string, succeeded: number, seconds = 600): Promise<void> {
    const phase = await until(
      `backfill ${name} with ${succeeded} succeeded buckets`,
      async () => {
        const { progress, phase } = (await this.get('backfill', name))?.status ?? {};
        return (progress?.succeeded ?? 0) >= succeeded && phase;
      },
      seconds,
    );
    if (phase === 'Complete')
      throw new Error(`backfill ${name} was complete before anything could be done in its middle`);
  }

  /** Returns the pods of a pool that are not ending. */
  async poolPods(pool: string): Promise<Found[]> {
    const pods = await this.list('pods', `pipeline.ooni.org/pool=${pool}`);
    return pods.filter(pod => !pod.metadata.deletionTimestamp);
  }

  /** Returns the name of the operator pod that holds the lease. */
  async leader(): Promise<string> {
    const leases = await this.list('leases');
    const holder = (leases[0]?.spec as { holderIdentity?: string } | undefined)?.holderIdentity;
    if (!holder) throw new Error('the lease has no holder');
    return holder.split('_')[0]!;
  }

  /** Returns what an administrator needs to find the cause of a failure: objects, events and the ends of the logs. */
  async report(): Promise<string> {
    const parts = await Promise.all(
      [
        ['get', 'pods,backfills,workerpools', '-o', 'wide'],
        ['get', 'events', '--sort-by=.lastTimestamp'],
        ['describe', 'backfills'],
        ['logs', '--all-containers', '--prefix', '--tail=30', '-l', 'app.kubernetes.io/part-of=ooni-pipeline'],
      ].map(args => this.kubectl(args).catch((error: Error) => error.message)),
    );
    return parts.map(part => part.trim().split('\n').slice(-60).join('\n')).join('\n\n');
  }
}
