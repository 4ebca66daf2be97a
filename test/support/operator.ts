import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import protobuf from '@temporalio/proto';
import { parse } from 'yaml';
import type { BackfillStatus } from '../../crds/backfill.ts';
import { KINDS } from '../../crds/kinds.ts';
import { customResourceDefinition } from '../../crds/structural.ts';
import { programPath } from '../../local/programs.ts';
import { lint } from '../../operator/controllers/conditions.ts';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { CRDS, DISRUPTION_BUDGETS } from '../../operator/kube/builtin.ts';
import { Client } from '../../operator/kube/client.ts';
import { connectionSource } from '../../operator/kube/config.ts';
import { Http } from '../../operator/kube/http.ts';
import { createInstruments } from '../../operator/kube/instruments.ts';
import { listWatch } from '../../operator/kube/list-watch.ts';
import {
  controllerReference,
  defineResource,
  type KubeObject,
  type Resource,
  type Stored,
} from '../../operator/kube/resource.ts';
import { DEFAULT_POOL_RULES, LEASE_RULES, OPERATOR_RULES, workerSettingsRules } from '../../operator/rbac.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { NAMESPACES } from './kube.ts';
import { PROGRAM_ENV } from './program.ts';

export { NAMESPACES };

const ROOT = join(import.meta.dirname, '..', '..');

/** Polls until `look` returns something other than undefined or false. After `seconds`, throws the last error of `look`. */
export async function eventually<T>(look: () => Promise<T | undefined | false>, seconds = 100): Promise<T> {
  const end = performance.now() + seconds * 1000;
  let last: unknown;
  while (performance.now() < end) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found as T;
      last = new Error(`did not become true within ${seconds} s: ${look}`);
    } catch (error) {
      last = error;
    }
    await delay(100);
  }
  throw last;
}

/** Creates a client with the rights of a kubeconfig, usually those of an administrator. */
export function adminClient(kubeconfig: string): Client {
  return new Client(new Http(connectionSource({ kubeconfig })), { fieldManager: 'test' });
}

/** Runs kubectl as a user would. Returns the output of both channels. */
export async function kubectl(kubeconfig: string, args: readonly string[], stdin = ''): Promise<string> {
  const child = spawn(programPath('kubectl'), args, { env: { KUBECONFIG: kubeconfig, HOME: tmpdir() } });
  child.stdin.end(stdin);
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return out + err;
}

/** Installs our kinds in the API server, once for all tests that run at the same time. */
export async function installCrds(client: Client): Promise<void> {
  for (const kind of KINDS) {
    const crd = customResourceDefinition(kind) as unknown as KubeObject;
    await client.apply(CRDS, crd as never, { force: true });
  }
  for (const kind of KINDS) {
    await eventually(async () => {
      const crd = await client.get(CRDS, { name: `${kind.plural}.pipeline.ooni.org` });
      return crd.status?.conditions?.some(one => one.type === 'Established' && one.status === 'True');
    });
  }
}

/**
 * Waits until the API server accepts a WorkerPool as the owner of an object. It learns a kind some seconds after its definition, and until then
 * rejects such an object as forbidden. `account`: kubeconfig of the operator; an administrator is never rejected.
 */
export async function waitForOwners(account: string, namespace: string): Promise<void> {
  const client = adminClient(account);
  const owner = { metadata: { name: 'none', namespace, uid: randomUUID() } };
  const metadata = { name: 'owned', namespace, ownerReferences: [controllerReference(WORKER_POOLS, owner)] };
  const budget = { metadata, spec: { maxUnavailable: 1, selector: { matchLabels: { none: 'none' } } } };
  try {
    await eventually(() => client.create(DISRUPTION_BUDGETS, budget, { dryRun: true }));
  } finally {
    await client.http.close();
  }
}

/** Creates a Temporal namespace for the test, because the task queues have fixed names. */
export async function makeTemporalNamespace(address: string, namespace: string): Promise<void> {
  const connection = await Connection.connect({ address });
  try {
    await connection.workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: protobuf.google.protobuf.Duration.create({ seconds: 86_400 as never }),
    });
    // A registered namespace is not usable yet: each service reads the list of namespaces at its own time.
    await eventually(async () => {
      await connection.workflowService.listWorkflowExecutions({ namespace, pageSize: 1 });
      await connection.operatorService.listSearchAttributes({ namespace });
      return true;
    });
  } finally {
    await connection.close();
  }
}

/**
 * Creates a namespace with the operator's account, which has exactly the permissions of operator/rbac.ts. Returns the path of its
 * kubeconfig. The last argument has the environment of the operator.
 */
export async function makeOperatorAccount(
  client: Client,
  kubeconfig: string,
  namespace: string,
  { WORKER_CONFIG_MAP = '', WORKER_SECRET = '' }: Readonly<Record<string, string>> = {},
): Promise<string> {
  const core = (plural: string, kind: string) =>
    defineResource({ group: '', version: 'v1', plural, kind, namespaced: true });
  const rbac = (plural: string, kind: string) =>
    defineResource<KubeObject & Record<string, unknown>>({
      group: 'rbac.authorization.k8s.io',
      version: 'v1',
      plural,
      kind,
      namespaced: true,
    });
  const metadata = { name: 'ooni-operator', namespace };
  await client.create(NAMESPACES, { metadata: { name: namespace } });
  await client.create(core('serviceaccounts', 'ServiceAccount'), { metadata });
  await client.create(rbac('roles', 'Role'), {
    metadata,
    rules: [
      ...OPERATOR_RULES,
      ...LEASE_RULES,
      ...DEFAULT_POOL_RULES,
      ...workerSettingsRules(WORKER_CONFIG_MAP, WORKER_SECRET),
    ],
  });
  await client.create(rbac('rolebindings', 'RoleBinding'), {
    metadata,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
    subjects: [{ kind: 'ServiceAccount', name: metadata.name, namespace }],
  });
  const token = await client.http.request<{ status: { token: string } }>({
    method: 'POST',
    path: `/api/v1/namespaces/${namespace}/serviceaccounts/${metadata.name}/token`,
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } },
  });
  const config = parse(readFileSync(kubeconfig, 'utf8'));
  config.users[0].user = { token: token.status.token };
  // It goes with the files of the API server, also when the process of this test is killed.
  const path = join(dirname(kubeconfig), `${namespace}.kubeconfig`);
  writeFileSync(path, JSON.stringify(config));
  return path;
}

/** The program `node operator/main.ts` with the settings of one test. */
export class OperatorProcess {
  readonly child: ChildProcess;
  output = '';

  /** `program`: path of the program, after options of Node. */
  constructor(env: Record<string, string>, program: readonly string[] = ['operator/main.ts']) {
    this.child = spawn(process.execPath, program, {
      cwd: ROOT,
      env: { ...PROGRAM_ENV, LOG_FORMAT: 'json', LOG_LEVEL: 'info', ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.output += chunk;
    });
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Ends it as Kubernetes would and returns its exit status. */
  async stop(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  /** Kills it at any point of its work. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.running) {
      const exit = once(this.child, 'exit');
      this.child.kill(signal);
      await exit;
    }
    return this.child.exitCode;
  }
}

type Status = BackfillStatus & { replicas?: number };
export type Ours = Stored<KubeObject & { status?: Status }>;

/** Watches all our resources in a namespace and lints the conditions of every state that they pass through. */
export class ConditionWatch {
  /** Findings of the linter, with the object; must stay empty. */
  readonly problems: string[] = [];
  /** Phases and reasons of Ready by object, in the order in which they were seen. */
  readonly seen = new Map<string, string[]>();
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(client: Client, namespace: string) {
    const log = createLogger('test', { log_level: 'fatal', log_format: 'json' });
    const follow = async (resource: Resource) => {
      const options = { namespace, signal: this.#stop.signal, instruments: createInstruments({ log }) };
      for await (const event of listWatch(client, resource, options)) {
        if (event.type === 'page') for (const object of event.items) this.#look(object as Ours);
        if (event.type === 'put') this.#look(event.object as Ours);
      }
    };
    this.#running = Promise.all(
      [BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS].map(resource => follow(resource as Resource)),
    );
  }

  #look({ kind, metadata, status }: Ours): void {
    if (!status) return;
    const name = `${kind}/${metadata.name}`;
    for (const problem of lint(status))
      this.problems.push(`${name}: ${problem} in ${JSON.stringify(status.conditions)}`);
    const reason = status.conditions?.find(one => one.type === 'Ready')?.reason ?? '';
    const reasons = this.seen.get(name) ?? [];
    if (reasons.at(-1) !== reason) this.seen.set(name, [...reasons, reason]);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
