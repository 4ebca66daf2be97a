import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { DEPLOYMENTS, type Deployment } from '../../operator/kube/builtin.ts';
import { Client } from '../../operator/kube/client.ts';
import { connectionSource } from '../../operator/kube/config.ts';
import {
  AlreadyExistsError,
  ConflictError,
  ForbiddenError,
  GoneError,
  InvalidError,
  NotFoundError,
  UnreachableError,
} from '../../operator/kube/errors.ts';
import { addFinalizer, removeFinalizer } from '../../operator/kube/finalizer.ts';
import { Http } from '../../operator/kube/http.ts';
import { defineResource, type KubeObject } from '../../operator/kube/resource.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { CONFIG_MAPS, type ConfigMap, type KubeBed, kubeBed } from '../support/kube.ts';

let bed: KubeBed;
let client: Client;
const namespace = `client-${randomUUID().slice(0, 8)}`;
beforeAll(async () => {
  bed = await kubeBed(inject('kubeconfig'), namespace);
  client = bed.direct;
});
afterAll(() => bed.stop());

/** A kind with defaults and without a controller that would write in between. */
const POD_TEMPLATES = defineResource<KubeObject & { template: NonNullable<Deployment['spec']>['template'] }>({
  group: '',
  version: 'v1',
  plural: 'podtemplates',
  kind: 'PodTemplate',
  namespaced: true,
});

const config = (name: string, data: Record<string, string> = {}): ConfigMap => ({
  metadata: { name, namespace },
  data,
});
const deployment = (name: string, replicas?: number): Deployment => ({
  metadata: { name, namespace },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: 'main', image: 'none.test/none' }], nodeSelector: { nowhere: 'true' } },
    },
  },
});

describe('reading', () => {
  it('gets an object, distinguishes absent from unknown, and reads no managedFields', async () => {
    await client.create(CONFIG_MAPS, config('read', { a: '1' }));
    const object = await client.get(CONFIG_MAPS, { namespace, name: 'read' });
    expect(object).toMatchObject({ kind: 'ConfigMap', data: { a: '1' }, metadata: { name: 'read' } });
    expect(object.metadata.managedFields).toBeUndefined();
    expect(await client.find(CONFIG_MAPS, { namespace, name: 'absent' })).toBeUndefined();
    await expect(client.get(CONFIG_MAPS, { namespace, name: 'absent' })).rejects.toBeInstanceOf(NotFoundError);
    bed.proxy.down();
    await expect(bed.proxied.find(CONFIG_MAPS, { namespace, name: 'absent' })).rejects.toBeInstanceOf(UnreachableError);
    bed.proxy.up();
  });

  it('lists in pages of one consistent state, by label, and with the type of each item', async () => {
    for (let i = 0; i < 7; i++) {
      await client.create(CONFIG_MAPS, {
        ...config(`page-${i}`),
        metadata: { name: `page-${i}`, namespace, labels: { page: 'yes' } },
      });
    }
    const sizes: number[] = [];
    const versions = new Set<string>();
    for await (const page of client.pages(CONFIG_MAPS, { namespace, labelSelector: 'page=yes', limit: 3 })) {
      sizes.push(page.items.length);
      versions.add(page.resourceVersion);
      // Written between two pages: the list has the state at its beginning.
      await client.apply(CONFIG_MAPS, { metadata: { name: 'page-9', namespace, labels: { page: 'yes' } } });
      expect(page.items.every(item => item.kind === 'ConfigMap' && item.apiVersion === 'v1')).toBe(true);
    }
    expect([sizes, versions.size]).toEqual([[3, 3, 1], 1]);
    expect(await client.list(CONFIG_MAPS, { namespace, labelSelector: 'page=yes' })).toHaveLength(8);
  });

  it('lists the state of exactly one version, and throws when that is gone', async () => {
    const before = await client.apply(CONFIG_MAPS, config('exact', { n: '1' }));
    await client.apply(CONFIG_MAPS, config('exact', { n: '2' }));
    const fieldSelector = 'metadata.name=exact';
    const exactly = before.metadata.resourceVersion;
    const [then] = await client.list(CONFIG_MAPS, { namespace, fieldSelector, exactly });
    const [now] = await client.list(CONFIG_MAPS, { namespace, fieldSelector });
    expect([then?.data, now?.data]).toEqual([{ n: '1' }, { n: '2' }]);
    bed.proxy.fault(
      { answer: { status: 410, body: { code: 410, reason: 'Expired' } } },
      ({ query }) => query.has('resourceVersion'),
      1,
    );
    await expect(bed.proxied.list(CONFIG_MAPS, { namespace, exactly })).rejects.toBeInstanceOf(GoneError);
  });

  it('is rejected without permission', async () => {
    const http = bed.proxied.http;
    const request = { method: 'GET', path: '/api/v1/secrets' } as const;
    bed.proxy.impersonate = 'nobody';
    await expect(http.request(request)).rejects.toBeInstanceOf(ForbiddenError);
    bed.proxy.impersonate = undefined;
  });
});

describe('writing', () => {
  it('creates once', async () => {
    await client.create(CONFIG_MAPS, config('once'));
    await expect(client.create(CONFIG_MAPS, config('once'))).rejects.toBeInstanceOf(AlreadyExistsError);
  });

  it('keeps unknown fields when it replaces, and rejects an outdated object', async () => {
    const { template } = deployment('kept').spec!;
    await client.create(POD_TEMPLATES, { metadata: { name: 'kept', namespace }, template });
    const read = await client.get(POD_TEMPLATES, { namespace, name: 'kept' });
    const annotations = { changed: 'yes' };
    const written = await client.replace(POD_TEMPLATES, { ...read, metadata: { ...read.metadata, annotations } });
    // The fields that the server added are in none of our types, but are kept.
    expect(written.template.spec).toHaveProperty('terminationGracePeriodSeconds', 30);
    expect(written.template).toEqual(read.template);
    await expect(client.replace(POD_TEMPLATES, read)).rejects.toBeInstanceOf(ConflictError);
  });

  it('names the fields of a rejected object', async () => {
    const wrong = deployment('wrong', -1);
    const error = await client.create(DEPLOYMENTS, wrong).catch(caught => caught);
    expect(error).toBeInstanceOf(InvalidError);
    expect(error.causes.map(({ field }: { field: string }) => field)).toEqual(['spec.replicas']);
  });

  it('changes nothing in a dry run', async () => {
    const writes: unknown[] = [];
    const silence = client.onWrite((_, written) => writes.push(written));
    expect(await client.create(CONFIG_MAPS, config('dry', { a: '1' }), { dryRun: true })).toMatchObject({
      data: { a: '1' },
    });
    expect(await client.apply(CONFIG_MAPS, config('dry', { a: '1' }), { dryRun: true })).toMatchObject({
      data: { a: '1' },
    });
    expect(await client.delete(CONFIG_MAPS, { namespace, name: 'read' }, { dryRun: true })).toBe(true);
    expect(await client.find(CONFIG_MAPS, { namespace, name: 'dry' })).toBeUndefined();
    expect(await client.find(CONFIG_MAPS, { namespace, name: 'read' })).toBeDefined();
    expect(writes).toEqual([]);
    silence();
  });

  it('calls its listeners with the confirmed state', async () => {
    const writes: unknown[] = [];
    const silence = client.onWrite((resource, written) => writes.push([resource.kind, written]));
    const object = await client.guardedBy(() => 1000).create(CONFIG_MAPS, config('writes'));
    await client.delete(CONFIG_MAPS, { namespace, name: 'writes' });
    expect(writes).toEqual([
      ['ConfigMap', { object }],
      ['ConfigMap', { deleted: { namespace, name: 'writes' }, uid: object.metadata.uid }],
    ]);
    silence();
  });

  it('passes its guard, which also limits the time of a write', async () => {
    const refusal = new Error('not the leader');
    const refused = client.guardedBy(() => {
      throw refusal;
    });
    await expect(refused.apply(CONFIG_MAPS, config('guarded'))).rejects.toBe(refusal);
    await expect(refused.delete(CONFIG_MAPS, { namespace, name: 'read' })).rejects.toBe(refusal);
    expect(await refused.find(CONFIG_MAPS, { namespace, name: 'guarded' })).toBeUndefined();
    expect(await refused.find(CONFIG_MAPS, { namespace, name: 'read' })).toBeDefined();
    const end = bed.proxy.fault({ loseAnswer: true, keepOpen: true }, ({ method }) => method === 'PATCH');
    await expect(bed.proxied.guardedBy(() => 300).apply(CONFIG_MAPS, config('slow'))).rejects.toThrow(
      'no answer within 0.3 s',
    );
    end();
  });
});

describe('server-side apply', () => {
  it('creates, changes nothing when repeated, and removes fields that are no longer applied', async () => {
    const first = await client.apply(CONFIG_MAPS, config('applied', { a: '1', b: '2' }));
    const again = await client.apply(CONFIG_MAPS, config('applied', { a: '1', b: '2' }));
    expect(again.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    expect((await client.apply(CONFIG_MAPS, config('applied', { a: '1' }))).data).toEqual({ a: '1' });
  });

  it("leaves others' fields unchanged, and takes them over only by force", async () => {
    const other = new Client(client.http, { fieldManager: 'other' });
    await other.apply(CONFIG_MAPS, config('shared', { theirs: '1' }));
    const both = await client.apply(CONFIG_MAPS, config('shared', { ours: '2' }));
    expect(both.data).toEqual({ theirs: '1', ours: '2' });
    await expect(client.apply(CONFIG_MAPS, config('shared', { ours: '2', theirs: '3' }))).rejects.toBeInstanceOf(
      ConflictError,
    );
    const forced = await client.apply(CONFIG_MAPS, config('shared', { ours: '2', theirs: '3' }), { force: true });
    expect(forced.data).toEqual({ theirs: '3', ours: '2' });
  });

  it('does not create an object again when its uid is given', async () => {
    const object = await client.apply(CONFIG_MAPS, config('uid'));
    await client.delete(CONFIG_MAPS, object.metadata);
    const { uid } = object.metadata;
    await expect(client.apply(CONFIG_MAPS, { metadata: { namespace, name: 'uid', uid } })).rejects.toBeInstanceOf(
      ConflictError,
    );
  });

  it('is safe to repeat when the answer was lost', async () => {
    bed.proxy.fault({ loseAnswer: true }, ({ method }) => method === 'PATCH', 1);
    await expect(bed.proxied.apply(CONFIG_MAPS, config('lost', { a: '1' }))).rejects.toBeInstanceOf(UnreachableError);
    const first = await client.get(CONFIG_MAPS, { namespace, name: 'lost' });
    const again = await bed.proxied.apply(CONFIG_MAPS, config('lost', { a: '1' }));
    expect(again.metadata).toMatchObject({ uid: first.metadata.uid, resourceVersion: first.metadata.resourceVersion });
  });

  it('writes the status alone', async () => {
    await client.apply(DEPLOYMENTS, deployment('parts', 0));
    const conditions = [{ type: 'OursAlone', status: 'True', reason: 'Test', message: 'by the test' }];
    const status = await client.apply(
      DEPLOYMENTS,
      { metadata: { namespace, name: 'parts' }, spec: { replicas: 7 }, status: { conditions } } as never,
      {
        subresource: 'status',
        force: true,
      },
    );
    expect(status.spec?.replicas).toBe(0);
    expect(status.status?.conditions).toContainEqual(expect.objectContaining({ type: 'OursAlone' }));
  });
});

describe('deleting', () => {
  it('returns whether the object existed, and respects its preconditions', async () => {
    const { metadata } = await client.create(CONFIG_MAPS, config('gone'));
    const ref = { namespace, name: 'gone' };
    await expect(client.delete(CONFIG_MAPS, ref, { uid: randomUUID() })).rejects.toBeInstanceOf(ConflictError);
    expect(
      await client.delete(CONFIG_MAPS, ref, { uid: metadata.uid, resourceVersion: metadata.resourceVersion }),
    ).toBe(true);
    expect(await client.delete(CONFIG_MAPS, ref)).toBe(false);
  });

  it('waits for finalizers, which are added and removed under a lock', async () => {
    const created = await client.create(CONFIG_MAPS, config('final'));
    const held = await addFinalizer(client, CONFIG_MAPS, created, 'ooni.test/a');
    expect(await addFinalizer(client, CONFIG_MAPS, held, 'ooni.test/a')).toBe(held);
    // Read before the first finalizer was added: this list would drop it.
    await expect(addFinalizer(client, CONFIG_MAPS, created, 'ooni.test/b')).rejects.toBeInstanceOf(ConflictError);
    const both = await addFinalizer(client, CONFIG_MAPS, held, 'ooni.test/b');
    await client.delete(CONFIG_MAPS, both.metadata);
    const deleting = await client.get(CONFIG_MAPS, both.metadata);
    expect(deleting.metadata.deletionTimestamp).toBeDefined();
    await removeFinalizer(client, CONFIG_MAPS, deleting, 'ooni.test/a');
    const last = await client.get(CONFIG_MAPS, both.metadata);
    expect(last.metadata.finalizers).toEqual(['ooni.test/b']);
    await removeFinalizer(client, CONFIG_MAPS, last, 'ooni.test/b');
    expect(await client.find(CONFIG_MAPS, both.metadata)).toBeUndefined();
  });
});

describe('connections', () => {
  it('are shared: a hundred calls in a row use one', async () => {
    const before = bed.proxy.connections;
    for (let i = 0; i < 100; i++) await bed.proxied.find(CONFIG_MAPS, { namespace, name: 'read' });
    expect(bed.proxy.connections - before).toBeLessThanOrEqual(1);
  });

  it('go through the proxy of a kubeconfig', async () => {
    const { proxy, client, server } = await proxied({ user: 'one', password: 'p@ss word' });
    await client.create(CONFIG_MAPS, config('proxied', { a: '1' }));
    expect(await client.get(CONFIG_MAPS, { namespace, name: 'proxied' })).toMatchObject({ data: { a: '1' } });
    expect(proxy.targets).toEqual([server]);
  });

  it('fail with the answer of a proxy that refuses, without its password', async () => {
    const { proxy, client } = await proxied({ user: 'one', password: 'right' }, 'wrong');
    const created = client.create(CONFIG_MAPS, config('refused', { a: '1' }));
    await expect(created).rejects.toBeInstanceOf(UnreachableError);
    await expect(created).rejects.toThrow(new URL(proxy.url).host);
    await expect(created).rejects.toThrow('407');
    await expect(created).rejects.not.toThrow('wrong');
  });

  it('are refused when the certificate of the server is not trusted', async () => {
    const source = connectionSource({ kubeconfig: inject('kubeconfig') });
    const http = new Http(async () => ({ ...(await source()), tls: {} }));
    const untrusting = new Client(http, { fieldManager: 'test' });
    await expect(untrusting.find(CONFIG_MAPS, { namespace, name: 'read' })).rejects.toBeInstanceOf(UnreachableError);
    await http.close();
  });
});

/** Starts a proxy that wants these credentials, and returns a client that reaches the API server through it, with `password` if it is given. */
async function proxied(credentials: { user: string; password: string }, password = credentials.password) {
  const proxy = await startConnectProxy(credentials);
  const url = new URL(proxy.url);
  url.password = password;
  const source = connectionSource({ kubeconfig: inject('kubeconfig') });
  const http = new Http(async () => ({ ...(await source()), proxy: url.href }));
  onTestFinished(async () => {
    await http.close();
    await proxy.stop();
  });
  return { proxy, client: new Client(http, { fieldManager: 'test' }), server: new URL((await source()).server).host };
}
