import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { createMissing } from '../../local/apply.ts';
import { BACKFILLS, WORKER_POOLS } from '../../operator/controllers/resources.ts';
import type { Client } from '../../operator/kube/client.ts';
import { adminClient, installCrds, kubectl } from '../support/operator.ts';

// The folder `examples` as edited by a person, against an API server with the objects of an earlier start.
const kubeconfig = inject('kubeconfig');
const id = randomUUID().slice(0, 8);
let client: Client;
let dir: string;

beforeAll(async () => {
  client = adminClient(kubeconfig);
  await installCrds(client);
  dir = mkdtempSync(join(tmpdir(), 'ooni-examples-'));
  mkdirSync(join(dir, 'examples'));
});

afterAll(async () => {
  for (const [resource, name] of [
    [BACKFILLS, 'days'],
    [BACKFILLS, 'broken'],
    [WORKER_POOLS, 'main'],
  ] as const) {
    await client.delete(resource as typeof BACKFILLS, { namespace: 'default', name: `${name}-${id}` }).catch(() => {});
  }
  await client.http.close();
  rmSync(dir, { recursive: true, force: true });
});

const write = (name: string, text: string) => writeFileSync(join(dir, 'examples', name), text);
const manifest = (kind: string, name: string, spec: object) =>
  JSON.stringify({
    apiVersion: 'pipeline.ooni.org/v1alpha1',
    kind,
    metadata: { name: `${name}-${id}` },
    spec,
  });
const create = () => createMissing(client, join(dir, 'examples'), dir);
const days = { startAt: '2024-01-01', endAt: '2024-01-03' };

test('missing objects are created, and kubectl apply works on them', async () => {
  write('backfill.yaml', manifest('Backfill', 'days', days));
  write('pool.yaml', manifest('WorkerPool', 'main', { tasks: ['Workflows', 'Activities'], replicas: 1 }));
  write('note.txt', 'not a manifest');
  expect(await create()).toEqual({ backfills: [`days-${id}`], notes: [] });
  // Nothing differs, so there is no note.
  expect(await create()).toEqual({ backfills: [`days-${id}`], notes: [] });
  const applied = await kubectl(kubeconfig, ['apply', '-f', join(dir, 'examples/pool.yaml')]);
  expect(applied).toMatch(/^workerpool\.\S+ unchanged\n$/);
});

test('existing objects stay, and a note names the fields of the manifest that differ', async () => {
  await kubectl(kubeconfig, ['scale', 'workerpool', `main-${id}`, '--replicas=2']);
  write('backfill.yaml', manifest('Backfill', 'days', { ...days, startAt: '2024-01-02', probeCC: ['IT'] }));
  const [fixed, ...others] = (await create()).notes;
  expect(fixed).toMatch(
    `backfill/days-${id} stays as it is. examples/backfill.yaml has other values for spec.startAt, spec.probeCC; they cannot be applied to it: `,
  );
  expect(fixed).toMatch(
    /cannot be changed.*\. Correct the file, or delete the resource first: kubectl delete backfill\/days-\w+$/s,
  );
  expect(others).toEqual([
    `workerpool/main-${id} stays as it is. examples/pool.yaml has other values for spec.replicas; kubectl apply -f examples/pool.yaml applies them.`,
  ]);
  expect((await client.get(WORKER_POOLS, { namespace: 'default', name: `main-${id}` })).spec.replicas).toBe(2);
});

test('a note about a field that the kind does not have names the field', async () => {
  write('pool.yaml', manifest('WorkerPool', 'main', { tasks: ['Workflows', 'Activities'], replica: 3 }));
  expect((await create()).notes).toContainEqual(
    expect.stringContaining('they cannot be applied to it: a WorkerPool does not have spec.replica. Correct the file'),
  );
  write('pool.yaml', manifest('WorkerPool', 'main', { tasks: ['Workflows', 'Activities'], replicas: 2 }));
});

test('a resource that is being deleted causes a note, and does not count as existing', async () => {
  const ref = { namespace: 'default', name: `going-${id}` };
  const held = { metadata: { ...ref, finalizers: ['example.org/hold'] }, spec: days };
  await client.create(BACKFILLS, held as never);
  await client.delete(BACKFILLS, ref);
  write('going.yaml', manifest('Backfill', 'going', days));
  const { backfills, notes } = await create();
  expect(backfills).toEqual([`days-${id}`]);
  expect(notes).toContainEqual(
    expect.stringMatching(/^backfill\/going-\w+ is being deleted\. kubectl apply -f examples\/going/),
  );
  await client.patch(BACKFILLS, ref, { metadata: { finalizers: null } } as never);
  rmSync(join(dir, 'examples/going.yaml'));
});

test('an invalid manifest causes a note, and the others are created', async () => {
  write('a.yaml', 'kind: [');
  write('b.yaml', 'kind: Backfill');
  write('c.yaml', manifest('Backfill', 'backwards', { startAt: '2024-02-01', endAt: '2024-01-01' }));
  write('c2.yaml', manifest('Backfill', 'misspelled', { ...days, startAtt: '2024-01-01' }));
  write('d.yaml', `apiVersion: example.org/v1\nkind: Thing\nmetadata: { name: thing }`);
  write('e.yaml', `---\n${manifest('Backfill', 'broken', days)}\n---\n`);
  const { backfills, notes } = await create();
  expect(backfills).toEqual([`days-${id}`, `broken-${id}`]);
  expect(notes[0]).toMatch(/^examples\/a\.yaml cannot be read, so it is left out: /);
  expect(notes[1]).toMatch(/^examples\/b\.yaml cannot be read.*apiVersion, kind or metadata\.name/);
  expect(notes.join('\n')).toMatch(
    /backfill\/backwards-\w+ of examples\/c\.yaml was not created: Backfill\.\S+ "\S+" is invalid: .*must lie before endAt/,
  );
  expect(notes.join('\n')).toMatch(/backfill\/misspelled-\w+ of examples\/c2\.yaml was not created: .*spec\.startAtt/);
  expect(notes).toContain(
    'thing/thing of examples/d.yaml was not created: the API server has no kind Thing in example.org/v1',
  );
});
