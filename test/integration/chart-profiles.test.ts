import { execFile, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { KUBERNETES_VERSION } from '../../local/programs/releases.ts';
import { CHART_PROGRAMS, obtainPrograms, programPath } from '../../local/programs.ts';

/**
 * Validates every profile of the chart as the API server does: with the schemas of its version, unknown fields as errors, and admission. Objects
 * of the Prometheus operator are left out, because their definitions are not part of Kubernetes.
 */
const run = promisify(execFile);
const CHART = join(import.meta.dirname, '../../helm/ooni-pipeline');
const PROFILES = readdirSync(join(CHART, 'ci')).sort();
const MONITORING = 'monitoring.coreos.com/v1';
/** Namespaces that a profile names, and that of the release. */
const NAMESPACES = ['chart-profiles', 'team-a', 'team-b'];
const RESTRICTED = 'pod-security.kubernetes.io/enforce=restricted';

interface Manifest {
  readonly apiVersion: string;
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
    const known = objects.filter(({ apiVersion, kind }) => {
      if (apiVersion === MONITORING) return false;
      // Other tests install the definitions; crds.test.ts checks them.
      return kind !== 'CustomResourceDefinition';
    });
    const { status, output } = await dryRun(known);
    expect(output).not.toMatch(/error|warning|forbidden/i);
    expect(status, output).toBe(0);
    expect(output.trim().split('\n')).toHaveLength(known.length);
  });
});

test('a wrong field is found', async () => {
  const objects = await render('minimal-values.yaml');
  const deployment = objects.find(({ kind }) => kind === 'Deployment')!;
  Object.assign(deployment.spec!.template!.spec!.containers![0]!, { imagePullPolice: 'Always' });
  const { status, output } = await dryRun([deployment]);
  expect(status).not.toBe(0);
  expect(output).toMatch(/imagePullPolice/);
});
