import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

const ROOT = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

interface Service {
  readonly image: string;
  readonly environment?: Record<string, string>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly command?: readonly string[];
  readonly depends_on?: Record<string, { condition: string }>;
  readonly healthcheck?: object;
  readonly build?: { context: string; dockerfile: string };
}
const compose = parse(read('compose.yaml'), { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, null>;
};
const services = Object.entries(compose.services);

test('compose.yaml follows the schema of the Compose specification', () => {
  // Ajv implements draft 7 and knows it by an http URL. The formats are for programs that fill in forms; Compose does not check them.
  const { $schema: _, ...schema } = JSON.parse(read('test/fixtures/compose/compose-spec.json')) as Record<
    string,
    unknown
  >;
  const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
  validate(compose);
  expect(validate.errors ?? []).toEqual([]);
  expect(validate({ ...compose, services: { bad: { imagee: 'x' } } })).toBe(false);
});

test('every published port is open on this machine only, and is used once', () => {
  const ports = services.flatMap(([, { ports = [] }]) => ports);
  expect(ports.length).toBeGreaterThan(0);
  for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
  const published = ports.map(port => port.split(':')[1]);
  expect(new Set(published).size).toBe(published.length);
  expect(published).toEqual(expect.arrayContaining(['8080', '8083', '8088', '7233']));
});

test('there is no ClickHouse, and every image has a version', () => {
  for (const [name, { image }] of services) {
    expect(image, name).toMatch(/:[\w.-]+$/);
    expect(image, name).not.toMatch(/clickhouse|bitnami|:latest$/);
  }
});

test('every service, volume and file that compose.yaml names exists', () => {
  for (const [name, { depends_on = {}, volumes = [], build }] of services) {
    for (const [other, { condition }] of Object.entries(depends_on)) {
      expect(compose.services, name).toHaveProperty(other);
      if (condition === 'service_healthy')
        expect(compose.services[other]!.healthcheck, `${name}: ${other}`).toBeDefined();
    }
    for (const volume of volumes) {
      const source = volume.split(':')[0]!;
      if (source.startsWith('.')) expect(existsSync(join(ROOT, source)), volume).toBe(true);
      else expect(compose.volumes).toHaveProperty(source);
    }
    if (build) expect(existsSync(join(ROOT, build.context, build.dockerfile)), name).toBe(true);
  }
});

test('Superset reads only variables that its configuration knows, and those that it requires are set', () => {
  const files = ['superset_config.py', 'provision.py'].map(name => read(`superset/${name}`)).join();
  const { superset, 'superset-provision': provision } = compose.services;
  expect(provision!.environment).toEqual(superset!.environment);
  for (const name of Object.keys(superset!.environment!)) {
    if (name !== 'HOME') expect(files, name).toContain(`"${name}"`);
  }
  expect(superset!.environment).toMatchObject({
    SUPERSET_SECRET_KEY: expect.stringMatching(/:-.{32,}\}$/),
    SUPERSET_ADMIN_PASSWORD: expect.any(String),
    CLICKHOUSE_URL: compose.services.worker!.environment!.CLICKHOUSE_URL,
  });
  // The file of the metadata is in the folder that the image names.
  const home = /SUPERSET_HOME=(\S+)/.exec(read('images/superset/Dockerfile'))![1];
  expect(superset!.volumes).toEqual([`superset:${home}`]);
});

test('Temporal reads only variables that the files of the chart know', () => {
  const files = ['temporal-server.yaml', 'temporal-schema.sh']
    .map(name => read(`helm/ooni-pipeline/files/${name}`))
    .join();
  const own = ['TEMPORAL_SERVICES', 'TEMPORAL_SERVER_CONFIG_FILE_PATH'];
  for (const name of Object.keys(compose.services.temporal!.environment!)) {
    if (!own.includes(name)) expect(files, name).toContain(name);
  }
});
