import { programPath } from '../../local/programs.ts';
import { command, until } from './command.ts';

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
  backfillReaches(name: string, succeeded: number, seconds = 600): Promise<Found> {
    return until(
      `backfill ${name} with ${succeeded} succeeded buckets`,
      async () => {
        const found = await this.get('backfill', name);
        const { progress, phase } = found?.status ?? {};
        return progress && (progress.succeeded ?? 0) >= succeeded && phase !== 'Complete' ? found : undefined;
      },
      seconds,
    );
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
