import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { findOnPath, StartError, type Supervised, supervise } from '../../local/process.ts';
import { build } from '../../local/programs/build.ts';
import { cacheFolder, obtainPrograms, programPath } from '../../local/programs.ts';
import { freePort } from '../../pipeline/free-port.ts';

/** Version of the server, its tools, and the images of the chart. */
export const SERVER_VERSION = '1.31.2';
const ROOT = join(import.meta.dirname, '../..');
const SERVICES = ['frontend', 'history', 'matching', 'worker'] as const;
type Service = (typeof SERVICES)[number];

interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { secretKeyRef?: { name: string; key: string }; fieldRef?: { fieldPath: string } };
}
interface Container {
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly env: readonly EnvVar[];
  readonly envFrom?: readonly { configMapRef: { name: string } }[];
  readonly readinessProbe?: { grpc: { port: number; service: string } };
}
interface Manifest {
  readonly kind: string;
  readonly metadata: { name: string };
  readonly data?: Record<string, string>;
  readonly spec?: { template: { spec: { containers: readonly Container[] } } };
}

/** Builds the server and its tools with Go, once. Returns the folder of the programs, named as in Temporal's images. */
export async function obtainServer(): Promise<string> {
  const dir = join(dirname(cacheFolder('temporal')), `temporal-server-${SERVER_VERSION}`);
  const packages = {
    'temporal-server': 'server',
    'temporal-sql-tool': 'tools/sql',
    'temporal-elasticsearch-tool': 'tools/elasticsearch',
  };
  for (const [program, folder] of Object.entries(packages)) {
    if (existsSync(join(dir, program))) continue;
    const go = findOnPath('go');
    if (!go)
      throw new StartError('there is no Go to build the Temporal server with; install it from https://go.dev/dl/');
    console.log(`building ${program} ${SERVER_VERSION} with Go, once; on two cores the first takes about 10 minutes`);
    mkdirSync(dir, { recursive: true });
    const module = {
      folder: 'temporal-server',
      package: `go.temporal.io/server/cmd/${folder}`,
      program,
      provides: [],
      flags: [],
      minutes: 10,
    };
    await build(go, module, dir);
  }
  return dir;
}

/**
 * The services of a Temporal server, each a process with the command, the environment and the files of its container in the chart's mode
 * `production`. Only ports and addresses differ, because all processes share this machine.
 */
export class TemporalProduction {
  readonly address: string;
  readonly #dir: string;
  readonly #programs: string;
  readonly #manifests: readonly Manifest[];
  readonly #secrets: Readonly<Record<string, string>>;
  readonly #local: Readonly<Record<string, string>>;
  readonly #metrics: Readonly<Record<Service, number>>;
  readonly #running = new Map<Service, Supervised>();

  private constructor(
    dir: string,
    programs: string,
    manifests: readonly Manifest[],
    secrets: Readonly<Record<string, string>>,
    local: Readonly<Record<string, string>>,
    metrics: Readonly<Record<Service, number>>,
  ) {
    this.#dir = dir;
    this.#programs = programs;
    this.#manifests = manifests;
    this.#secrets = secrets;
    this.#local = local;
    this.#metrics = metrics;
    this.address = `127.0.0.1:${local.FRONTEND_GRPC_PORT}`;
  }

  /**
   * Renders the chart with `values` below `temporal.production` and writes the files of its ConfigMap to `dir`. Starts nothing.
   *
   * @param secrets values by `<secret>/<key>`
   */
  static async render(
    dir: string,
    values: object,
    secrets: Readonly<Record<string, string>>,
  ): Promise<TemporalProduction> {
    await obtainPrograms({ names: ['helm', 'temporal'] });
    const programs = await obtainServer();
    mkdirSync(join(dir, 'files'), { recursive: true });
    const all = { credentials: { existingSecret: 'clickhouse' }, temporal: { mode: 'production', production: values } };
    writeFileSync(join(dir, 'values.json'), JSON.stringify(all));
    const helm = ['template', 'production', join(ROOT, 'helm/ooni-pipeline'), '--values', join(dir, 'values.json')];
    const text = execFileSync(programPath('helm'), helm, { encoding: 'utf8', maxBuffer: 1e8 });
    const manifests = parseAllDocuments(text)
      .map(document => document.toJS() as Manifest | null)
      .filter(manifest => manifest !== null);
    const files = manifests.find(one => one.kind === 'ConfigMap' && one.metadata.name.endsWith('-temporal-files'));
    if (!files?.data) throw new Error('the chart has no ConfigMap with the files of Temporal');
    for (const [name, content] of Object.entries(files.data)) writeFileSync(join(dir, 'files', name), content);
    const names = ['FRONTEND_GRPC', 'FRONTEND_HTTP', 'FRONTEND_MEMBERSHIP'];
    for (const service of SERVICES.slice(1))
      names.push(`${service.toUpperCase()}_GRPC`, `${service.toUpperCase()}_MEMBERSHIP`);
    const ports: Record<string, string> = {};
    for (const name of names) ports[`${name}_PORT`] = `${await freePort()}`;
    const metrics = {
      frontend: await freePort(),
      history: await freePort(),
      matching: await freePort(),
      worker: await freePort(),
    };
    const local = {
      ...ports,
      BIND_ON_IP: '127.0.0.1',
      TEMPORAL_SERVER_CONFIG_FILE_PATH: join(dir, 'files/server.yaml'),
      DYNAMIC_CONFIG_FILE_PATH: join(dir, 'files/dynamic-config.yaml'),
    };
    return new TemporalProduction(dir, programs, manifests, secrets, local, metrics);
  }

  /** Runs the Job that creates or updates the schemas. Returns its output. Throws if it fails. */
  updateSchemas(): string {
    return this.#runJob('-temporal-schema', {});
  }

  /** Runs the Job that creates the namespace. Returns its output. Throws if it fails. */
  createNamespace(): string {
    return this.#runJob('-temporal-namespace-', { TEMPORAL_ADDRESS: this.address });
  }

  /** Starts a service that does not run. */
  async start(service: Service): Promise<void> {
    const container = this.#container(
      manifest => manifest.kind === 'Deployment' && manifest.metadata.name.endsWith(`-temporal-${service}`),
    );
    const [program, ...args] = container.command;
    const env = {
      ...this.#environment(container),
      ...this.#local,
      PROMETHEUS_ENDPOINT: `127.0.0.1:${this.#metrics[service]}`,
    };
    const command = join(this.#programs, program!);
    const process = await supervise({ name: `temporal-${service}`, command, args, dir: this.#dir, env });
    // As a Deployment does. Services that write the metadata of a new cluster at the same time fail, and succeed when they start again.
    process.keep(message => console.log(message));
    this.#running.set(service, process);
  }

  async startAll(): Promise<void> {
    for (const service of SERVICES) await this.start(service);
  }

  /** Ends a service without a chance to say goodbye. */
  async kill(service: Service): Promise<void> {
    await this.#running.get(service)!.stop(0, 'SIGKILL');
    this.#running.delete(service);
  }

  /** Address and gRPC health service of each readiness probe. */
  probes(): { service: Service; address: string; health: string; process: Supervised }[] {
    return SERVICES.map(service => {
      const { readinessProbe } = this.#container(
        one => one.kind === 'Deployment' && one.metadata.name.endsWith(`-temporal-${service}`),
      );
      const address = `127.0.0.1:${this.#local[`${service.toUpperCase()}_GRPC_PORT`]}`;
      return { service, address, health: readinessProbe!.grpc.service, process: this.#running.get(service)! };
    });
  }

  /** Returns the metrics of a service as text. */
  async metrics(service: Service): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${this.#metrics[service]}/metrics`)).text();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map(one => one.stop()));
  }

  #container(matches: (manifest: Manifest) => boolean): Container {
    const container = this.#manifests.find(matches)?.spec?.template.spec.containers[0];
    if (!container) throw new Error('the chart has no such object');
    return container;
  }

  #environment(container: Container): Record<string, string> {
    const env: Record<string, string> = {};
    for (const { configMapRef } of container.envFrom ?? []) {
      Object.assign(
        env,
        this.#manifests.find(one => one.kind === 'ConfigMap' && one.metadata.name === configMapRef.name)!.data,
      );
    }
    for (const { name, value, valueFrom } of container.env) {
      if (value !== undefined) env[name] = value;
      if (valueFrom?.fieldRef?.fieldPath === 'status.podIP') env[name] = '127.0.0.1';
      if (valueFrom?.secretKeyRef) {
        const secret = `${valueFrom.secretKeyRef.name}/${valueFrom.secretKeyRef.key}`;
        if (this.#secrets[secret] === undefined)
          throw new Error(`${name} refers to the secret ${secret}, which does not exist`);
        env[name] = this.#secrets[secret];
      }
    }
    return env;
  }

  #runJob(name: string, env: Record<string, string>): string {
    const container = this.#container(manifest => manifest.kind === 'Job' && manifest.metadata.name.includes(name));
    const [program, ...args] = [...container.command, ...(container.args ?? [])];
    const path = [this.#programs, dirname(programPath('temporal')), process.env.PATH].join(':');
    return execFileSync(program!, args, {
      encoding: 'utf8',
      // No file of the user who runs the test, and no setting of Temporal's CLI from the environment.
      env: { ...this.#environment(container), HOME: this.#dir, TEMPORAL_CONFIG_FILE: '/dev/null', ...env, PATH: path },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 600_000,
    });
  }
}
