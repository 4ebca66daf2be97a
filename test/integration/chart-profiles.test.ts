import { execFile, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { KUBERNETES_VERSION } from '../../local/programs/releases.ts';
import { CHART_PROGRAMS, obtainPrograms, programPath } from '../../local/programs.ts';

/**
 * Validates every profile of the chart as the API server does: with the schemas of its version, unknown fields as errors, and admission. The
 * definitions of the Prometheus operator are among the fixtures.
 */
const run = promisify(execFile);
const CHART = join(import.meta.dirname, '../../helm/ooni-pipeline');
const PROFILES = readdirSync(join(CHART, 'ci')).sort();
const DEFINITIONS = join(import.meta.dirname, '../fixtures/prometheus-operator');
const MONITORING = ['podmonitors', 'prometheusrules', 'servicemonitors'];
/** Namespaces that a profile names, and that of the release. */
const NAMESPACES = ['chart-profiles', 'team-a', 'team-b'];
const RESTRICTED = 'pod-security.kubernetes.io/enforce=restricted';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly template?: { readonly spec?: { readonly containers?: { name: string }[] } } };
}

async function kubectl(args: readonly string[], stdin = ''): Promise<{ status: number | null; output: string }> {
  const env = { ...process.env, KUBECONFIG: inject('kubeconfig') };
  const child = spawn(programPath('kubectl'), args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(stdin);
  const closed = new Promise<number | null>(resolve => child.once('close', resolve));
  const [out, err, status] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  return { status, output: out + err };
}

async function render(profile: string): Promise<Manifest[]> {
  const args = ['template', 'ooni', CHART, '--namespace', NAMESPACES[0]!, '--kube-version', KUBERNETES_VERSION];
  const { stdout } = await run(programPath('helm'), [...args, '-f', join(CHART, 'ci', profile)], { maxBuffer: 1e8 });
  return parseAllDocuments(stdout)
    .map(document => document.toJSON() as Manifest | null)
    .filter(object => object !== null);
}

/** Sends the objects to the API server, which checks them and stores nothing. */
function dryRun(objects: readonly Manifest[]) {
  const stream = objects.map(object => stringify(object)).join('---\n');
  return kubectl(['create', '--dry-run=server', '--validate=strict', '-f', '-'], stream);
}

beforeAll(async () => {
  await obtainPrograms({ names: CHART_PROGRAMS });
  for (const kind of MONITORING) {
    const definition = gunzipSync(readFileSync(join(DEFINITIONS, `${kind}.yaml.gz`))).toString();
    const { status, output } = await kubectl(['apply', '--server-side', '-f', '-'], definition);
    if (status !== 0) throw new Error(output);
    const name = `crd/${kind}.monitoring.coreos.com`;
    await kubectl(['wait', '--for=condition=Established', name, '--timeout=60s']);
  }
  for (const name of NAMESPACES) {
    await kubectl(['create', 'namespace', name]);
    await kubectl(['label', '--overwrite', 'namespace', name, RESTRICTED]);
  }
});

afterAll(async () => {
  for (const name of NAMESPACES) await kubectl(['delete', 'namespace', name, '--ignore-not-found', '--wait=false']);
});

describe.each(PROFILES)('profile %s', profile => {
  test('is accepted by the API server, without warnings', async () => {
    const objects = await render(profile);
    // Other tests install the definitions; crds.test.ts checks them.
    const known = objects.filter(({ kind }) => kind !== 'CustomResourceDefinition');
    const { status, output } = await dryRun(known);
    expect(output).not.toMatch(/error|warning|forbidden/i);
    expect(status, output).toBe(0);
    expect(output.trim().split('\n')).toHaveLength(known.length);
  });
});

test('the profiles have an object of each kind of the Prometheus operator', async () => {
  const objects = (await Promise.all(PROFILES.map(render))).flat();
  const kinds = new Set(objects.map(({ kind }) => kind));
  expect([...kinds]).toEqual(expect.arrayContaining(['PodMonitor', 'PrometheusRule', 'ServiceMonitor']));
});

test.each([
  ['ServiceMonitor', { endpoints: [{ port: 'health', interval: 'often' }] }, /interval/],
  ['PodMonitor', { podMetricsEndpoints: [{ port: 'health', honourLabels: true }] }, /honourLabels/],
  ['PrometheusRule', { groups: [{ name: 'a', rules: [{ alert: 'A', expr: 'up', for: '5 minutes' }] }] }, /for/],
] as const)('a wrong field of a %s is found', async (kind, wrong, message) => {
  const objects = await render('production-values.yaml');
  const object = objects.find(found => found.kind === kind)!;
  const { status, output } = await dryRun([{ ...object, spec: { ...object.spec, ...wrong } as Manifest['spec'] }]);
  expect(status).not.toBe(0);
  expect(output).toMatch(message);
});

test('a wrong field is found', async () => {
  const objects = await render('minimal-values.yaml');
  const deployment = objects.find(({ kind }) => kind === 'Deployment')!;
  Object.assign(deployment.spec!.template!.spec!.containers![0]!, { imagePullPolice: 'Always' });
  const { status, output } = await dryRun([deployment]);
  expect(status).not.toBe(0);
  expect(output).toMatch(/imagePullPolice/);
});
