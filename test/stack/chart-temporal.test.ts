import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { obtainPrograms, programPath } from '../../local/programs.ts';

const run = promisify(execFile);
const CHART = join(import.meta.dirname, '../../helm/ooni-pipeline');
const POSTGRESQL = 'temporal-postgresql-values.yaml';
const PRODUCTION = 'temporal-production-values.yaml';
const SERVICES = ['frontend', 'history', 'matching', 'worker'];

interface Container {
  readonly args?: readonly string[];
  readonly env: readonly { name: string; value?: string; valueFrom?: object }[];
  readonly volumeMounts: readonly { name: string }[];
}
interface Manifest {
  readonly kind: string;
  readonly metadata: { name: string; annotations?: Record<string, string> };
  readonly data?: Record<string, string>;
  readonly spec?: {
    replicas: number;
    template: {
      metadata: { annotations?: Record<string, string> };
      spec: { containers: readonly Container[]; volumes: readonly { name: string }[] };
    };
  };
}

async function render(profile: string, ...args: string[]): Promise<Manifest[]> {
  const all = ['template', 'ooni', CHART, '--namespace', 'pipeline', '-f', join(CHART, 'ci', profile), ...args];
  const { stdout } = await run(programPath('helm'), all, { maxBuffer: 1e8 });
  return parseAllDocuments(stdout)
    .map(document => document.toJSON() as Manifest | null)
    .filter(one => one !== null);
}
const find = (objects: readonly Manifest[], kind: string, name: RegExp) => {
  const found = objects.find(one => one.kind === kind && name.test(one.metadata.name));
  if (!found) throw new Error(`there is no ${kind} ${name}`);
  return found;
};
const containerOf = (manifest: Manifest) => manifest.spec!.template.spec.containers[0]!;

beforeAll(async () => {
  await obtainPrograms({ names: ['helm'] });
});

describe('the mode production', () => {
  test('has a Deployment for each service, with the settings and the files of its ConfigMaps', async () => {
    const objects = await render(PRODUCTION);
    for (const service of SERVICES) {
      const { env } = containerOf(find(objects, 'Deployment', new RegExp(`-temporal-${service}$`)));
      expect(env).toContainEqual({ name: 'TEMPORAL_SERVICES', value: service });
      expect(env).toContainEqual({
        name: 'POSTGRES_PWD',
        valueFrom: { secretKeyRef: { name: 'temporal-postgresql', key: 'password' } },
      });
    }
    const files = find(objects, 'ConfigMap', /-temporal-files$/).data!;
    expect(files['server.yaml']).toBe(readFileSync(join(CHART, 'files/temporal-server.yaml'), 'utf8'));
    expect(parse(files['dynamic-config.yaml']!)).toEqual({
      'frontend.namespaceRPS': [{ value: 4800 }],
      'system.enableEagerWorkflowStart': [{ value: true }],
    });
  });

  test('has files that know every setting', async () => {
    const known = ['server.yaml', 'schema.sh'].map(name => readFileSync(join(CHART, `files/temporal-${name}`), 'utf8'));
    for (const name of Object.keys(find(await render(PRODUCTION), 'ConfigMap', /-temporal$/).data!)) {
      expect(known.join(), name).toContain(name);
    }
  });

  test('mounts the authorities that signed the certificates of PostgreSQL and Elasticsearch', async () => {
    const objects = await render(PRODUCTION);
    const settings = find(objects, 'ConfigMap', /-temporal$/).data!;
    expect(settings).toMatchObject({
      SQL_CA: '/etc/temporal/postgresql-ca/ca.crt',
      ES_CA: '/etc/temporal/elasticsearch-ca/ca.crt',
      ES_SCHEME: 'https',
    });
    for (const [kind, name] of [
      ['Deployment', /-temporal-frontend$/],
      ['Job', /-temporal-schema$/],
    ] as const) {
      const object = find(objects, kind, name);
      const names = ['postgresql-ca', 'elasticsearch-ca'];
      expect(containerOf(object).volumeMounts.map(mount => mount.name)).toEqual(expect.arrayContaining(names));
      expect(object.spec!.template.spec.volumes.map(volume => volume.name)).toEqual(expect.arrayContaining(names));
    }
  });

  test('has no web interface and no budgets where they are not desired', async () => {
    const names = (await render(POSTGRESQL)).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(names.filter(name => /temporal-ui|PodDisruptionBudget.*temporal/.test(name))).toEqual([]);
  });

  test('restarts the services after a change of their settings, and gives plain Jobs another name', async () => {
    const before = await render(POSTGRESQL);
    const after = await render(POSTGRESQL, '--set', 'temporal.production.postgresql.maxConnections=5');
    const checksum = (objects: readonly Manifest[]) =>
      find(objects, 'Deployment', /-temporal-history$/).spec!.template.metadata.annotations!['checksum/settings'];
    expect(checksum(after)).not.toBe(checksum(before));
    const job = (objects: readonly Manifest[]) => find(objects, 'Job', /-temporal-schema-/);
    expect(job(before).metadata.annotations).toBeUndefined();
    expect(job(after).metadata.name).not.toBe(job(before).metadata.name);
    expect(job(await render(POSTGRESQL)).metadata.name).toBe(job(before).metadata.name);
  });

  test('updates the schema in a hook that needs no other object of the release', async () => {
    const job = find(await render(PRODUCTION), 'Job', /-temporal-schema$/);
    expect(job.metadata.annotations).toMatchObject({ 'helm.sh/hook': 'pre-install,pre-upgrade' });
    expect(JSON.stringify(job)).not.toContain('configMap');
    expect(containerOf(job).args![0]!.trim()).toBe(
      readFileSync(join(CHART, 'files/temporal-schema.sh'), 'utf8').trim(),
    );
  });

  test.each([
    [['postgresql.host='], /postgresql\.host is empty; set it to the host of PostgreSQL/],
    [['postgresql.existingSecret='], /postgresql\.existingSecret is empty; create a Secret/],
    [['postgresql.visibilityDatabase=temporal'], /set two names/],
    [['postgresql.host=db:5432'], /host/],
    [['elasticsearch.enabled=true'], /its host is empty; set it to the host of Elasticsearch/],
    [
      ['elasticsearch.enabled=true', 'elasticsearch.host=es', 'elasticsearch.user=x'],
      /existingSecret is empty; create/,
    ],
    [
      ['elasticsearch.enabled=true', 'elasticsearch.host=es', 'elasticsearch.scheme=http', 'elasticsearch.caSecret=x'],
      /set the scheme to https/,
    ],
    [['historyShards=0'], /historyShards|minimum/],
    [['retention=1 month'], /retention/],
    [['postgresql.password=secret'], /password/],
  ])('rejects %j', async (values, message) => {
    const args = values.flatMap(value => ['--set', `temporal.production.${value}`]);
    const failure = await render(POSTGRESQL, ...args).then(
      () => 'accepted',
      (error: { stderr?: string }) => error.stderr,
    );
    expect(failure).toMatch(message);
  });
});
