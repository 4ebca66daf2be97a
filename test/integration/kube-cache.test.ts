import { beforeEach, describe, expect, inject, it } from 'vitest';
import { PODS } from '../../operator/kube/builtin.ts';
import { Cache, type CacheOptions, type Change } from '../../operator/kube/cache.ts';
import { Client } from '../../operator/kube/client.ts';
import { connectionSource } from '../../operator/kube/config.ts';
import { Http } from '../../operator/kube/http.ts';
import { defineResource, type Key, keyOf } from '../../operator/kube/resource.ts';
import { OPERATOR_RULES } from '../../operator/rbac.ts';
import {
  CONFIG_MAPS,
  type ConfigMap,
  eventually,
  instruments,
  type KubeBed,
  NAMESPACES,
  openKubeTest,
} from '../support/kube.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { makeOperatorAccount } from '../support/operator.ts';

let bed: KubeBed;
let namespace: string;
let stop: AbortController;
let running: Promise<void>[];
beforeEach(async () => {
  const started = await openKubeTest(inject('kubeconfig'), 'cache');
  ({ bed, namespace, stop, running } = started);
  return started.end;
});

const config = (name: string, n: number, labels?: Record<string, string>): ConfigMap => ({
  metadata: { name, namespace, labels },
  data: { n: String(n) },
});
const key = (name: string): Key => `${namespace}/${name}`;
const isWatch = ({ watch }: { watch: boolean }) => watch;

/** Returns a running cache over the proxied client, and all its events. */
async function watching(options: Partial<CacheOptions> = {}) {
  const tools = options.instruments ?? instruments();
  const cache = new Cache(bed.proxied, CONFIG_MAPS, { instruments: tools, namespaces: [namespace], ...options });
  const events: string[] = [];
  cache.onChange(change => events.push(`${change.type} ${change.object.metadata.name} ${change.object.data?.n}`));
  running.push(cache.run(stop.signal));
  const count = async (metric: 'relists' | 'divergence' | 'watchErrors', label: Record<string, string> = {}) => {
    const { values } = await tools.metrics[metric].get();
    return values
      .filter(({ labels }) => Object.entries(label).every(([name, value]) => labels[name as never] === value))
      .reduce((sum, { value }) => sum + value, 0);
  };
  return { cache, events, count };
}

/** Resolves when the cache equals the server. Others write there too: Kubernetes puts a ConfigMap into each namespace. */
async function equalToServer(cache: Cache<ConfigMap>, ms?: number): Promise<void> {
  const versions = (objects: Iterable<ConfigMap>) =>
    [...objects].map(object => `${keyOf(object)} ${object.metadata.uid} ${object.metadata.resourceVersion}`).sort();
  const isEqual = async () => {
    const server = await bed.direct.list(CONFIG_MAPS, { namespace });
    return versions(cache.list()).join() === versions(server).join();
  };
  await eventually('the cache equals the server', isEqual, ms);
}

describe('a cache', () => {
  it('has the existing objects, then additions, changes and deletions, in order', async () => {
    await bed.direct.create(CONFIG_MAPS, config('a', 1));
    const { cache, events } = await watching();
    expect(cache.synced).toBe(false);
    await cache.whenSynced(stop.signal);
    expect(cache.get(key('a'))?.data).toEqual({ n: '1' });
    await bed.direct.create(CONFIG_MAPS, config('b', 1));
    await bed.direct.apply(CONFIG_MAPS, config('a', 2), { force: true });
    await bed.direct.delete(CONFIG_MAPS, { namespace, name: 'b' });
    await eventually('the deletion', () => events.some(line => line.startsWith('deleted')));
    expect(events.filter(line => !line.includes('kube-root-ca'))).toEqual([
      'added a 1',
      'added b 1',
      'modified a 2',
      'deleted b 1',
    ]);
    await equalToServer(cache);
  });

  it('holds objects frozen, without unused metadata', async () => {
    await bed.direct.apply(CONFIG_MAPS, config('a', 1));
    const { cache } = await watching();
    await cache.whenSynced(stop.signal);
    const object = cache.get(key('a'))!;
    expect(object.metadata.managedFields).toBeUndefined();
    expect(() => {
      object.data!.n = '2';
    }).toThrow(TypeError);
  });

  it('watches each listed namespace, and no other', async () => {
    const other = `${namespace}-b`;
    await bed.direct.apply(NAMESPACES, { metadata: { name: other } });
    const { cache } = await watching({ namespaces: [namespace, other] });
    await cache.whenSynced(stop.signal);
    for (const ns of [namespace, other, 'default']) {
      await bed.direct.apply(CONFIG_MAPS, { metadata: { name: 'here', namespace: ns } });
    }
    await eventually('both', () => Boolean(cache.get(`${namespace}/here`) && cache.get(`${other}/here`)));
    expect(cache.get('default/here')).toBeUndefined();
    const paths = bed.proxy.seen.filter(isWatch).map(({ path }) => path);
    expect(paths.sort()).toEqual([namespace, other].map(ns => `/api/v1/namespaces/${ns}/configmaps`).sort());
    await bed.direct.delete(NAMESPACES, { name: other });
    await bed.direct.delete(CONFIG_MAPS, { namespace: 'default', name: 'here' });
  });

  it('continues when a listener throws', async () => {
    const { cache, events } = await watching();
    cache.onChange(() => {
      throw new Error('a listener of the test');
    });
    const after: string[] = [];
    cache.onChange(change => after.push(change.object.metadata.name));
    await cache.whenSynced(stop.signal);
    await bed.direct.create(CONFIG_MAPS, config('a', 1));
    await eventually('the object', () => events.includes('added a 1'));
    expect(after).toContain('a');
  });
});

describe('when the network fails', () => {
  it('continues a cut watch from its last version, without a loss and without a list', async () => {
    const { cache, events, count } = await watching();
    await cache.whenSynced(stop.signal);
    for (let n = 1; n <= 30; n++) {
      if (n % 10 === 0) bed.proxy.cutWatches();
      await bed.direct.apply(CONFIG_MAPS, config('a', n), { force: true });
    }
    await equalToServer(cache);
    expect(events.filter(line => / a /.test(line))).toEqual(
      Array.from({ length: 30 }, (_, i) => `${i === 0 ? 'added' : 'modified'} a ${i + 1}`),
    );
    expect(await count('relists')).toBe(1);
  });

  it('detects a silent watch, and opens another', async () => {
    const { cache, events, count } = await watching({ idle: 1000 });
    await cache.whenSynced(stop.signal);
    await eventually('the watch', () => bed.proxy.seen.some(isWatch));
    await bed.direct.create(CONFIG_MAPS, config('a', 1));
    await eventually('the first object', () => events.includes('added a 1'));
    bed.proxy.stallWatches();
    await bed.direct.apply(CONFIG_MAPS, config('a', 2), { force: true });
    await equalToServer(cache);
    expect(events).toContain('modified a 2');
    expect(await count('relists')).toBe(1);
    expect(await count('watchErrors', { error: 'SilentError' })).toBeGreaterThanOrEqual(1);
  });

  it('survives an API server outage, also before the first list', async () => {
    bed.proxy.down();
    const { cache, count } = await watching();
    await eventually('a failed attempt', async () => (await count('watchErrors', { error: 'UnreachableError' })) > 0);
    await bed.direct.create(CONFIG_MAPS, config('a', 1));
    expect(cache.synced).toBe(false);
    bed.proxy.up();
    await cache.whenSynced(stop.signal);
    bed.proxy.down();
    await bed.direct.delete(CONFIG_MAPS, { namespace, name: 'a' });
    await bed.direct.create(CONFIG_MAPS, config('b', 1));
    bed.proxy.up();
    await equalToServer(cache);
  });

  it('lists again when its version is gone; an object created again in between is deleted, then added', async () => {
    const first = await bed.direct.create(CONFIG_MAPS, config('a', 1));
    await bed.direct.create(CONFIG_MAPS, config('b', 1));
    const { cache, count } = await watching();
    const changes: Change<ConfigMap>[] = [];
    await cache.whenSynced(stop.signal);
    cache.onChange(change => {
      if (change.object.metadata.name !== 'kube-root-ca.crt') changes.push(change);
    });
    bed.proxy.fault({ answer: { status: 410, body: { code: 410, reason: 'Expired' } } }, isWatch, 1);
    bed.proxy.stallWatches();
    await bed.direct.delete(CONFIG_MAPS, { namespace, name: 'a' });
    const second = await bed.direct.create(CONFIG_MAPS, config('a', 2));
    await bed.direct.delete(CONFIG_MAPS, { namespace, name: 'b' });
    bed.proxy.cutWatches();
    await equalToServer(cache);
    expect(
      changes.map(({ type, object }) => [type, object.metadata.name, object.metadata.uid === first.metadata.uid]),
    ).toEqual([
      ['deleted', 'a', true],
      ['added', 'a', false],
      ['deleted', 'b', false],
    ]);
    expect(cache.get(key('a'))?.metadata.uid).toBe(second.metadata.uid);
    expect(await count('relists', { reason: 'gone' })).toBe(1);
  });

  it('treats an error inside a watch, and half a line, as the end of that watch', async () => {
    const { cache, events, count } = await watching();
    await cache.whenSynced(stop.signal);
    const gone = { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' } };
    bed.proxy.fault({ tail: `${JSON.stringify(gone)}\n` }, isWatch, 1);
    bed.proxy.cutWatches();
    await eventually('a list', async () => (await count('relists', { reason: 'gone' })) === 1);
    bed.proxy.fault({ tail: '{"type":"ADDED","obj' }, isWatch, 1);
    bed.proxy.cutWatches();
    await bed.direct.create(CONFIG_MAPS, config('a', 1));
    await equalToServer(cache);
    expect(events.filter(line => / a /.test(line))).toEqual(['added a 1']);
  });

  it('continues after the last bookmark', async () => {
    const { cache } = await watching();
    await cache.whenSynced(stop.signal);
    const { metadata } = await bed.direct.create(CONFIG_MAPS, config('a', 1));
    await equalToServer(cache);
    const { resourceVersion } = await bed.direct
      .apply(NAMESPACES, { metadata: { name: namespace, labels: { x: 'y' } } })
      .then(o => o.metadata);
    const bookmark = { type: 'BOOKMARK', object: { kind: 'ConfigMap', metadata: { resourceVersion } } };
    bed.proxy.fault({ tail: `${JSON.stringify(bookmark)}\n` }, isWatch, 1);
    bed.proxy.cutWatches();
    const versions = () => bed.proxy.seen.filter(isWatch).map(({ query }) => query.get('resourceVersion'));
    await eventually('two more watches', () => versions().length >= 3);
    expect(versions().slice(1, 3)).toEqual([metadata.resourceVersion, resourceVersion]);
  });

  it('starts a list again when a page is lost, and never watches from half of one', async () => {
    for (let i = 0; i < 5; i++) await bed.direct.create(CONFIG_MAPS, config(`c-${i}`, i));
    const second = ({ query }: { query: URLSearchParams }) => query.has('continue');
    bed.proxy.fault({ answer: { status: 500 } }, second, 1);
    const { cache } = await watching({ limit: 2 });
    await cache.whenSynced(stop.signal);
    await equalToServer(cache);
    const kinds = (from: number) =>
      bed.proxy.seen
        .slice(from)
        .map(({ watch, query }) => (watch ? 'watch' : query.has('continue') ? 'page' : 'list'))
        .slice(0, 5);
    expect(kinds(0).slice(0, 4)).toEqual(['list', 'page', 'list', 'page']);
    // The same with a later list.
    await eventually('the watch', () => bed.proxy.seen.some(isWatch));
    const from = bed.proxy.seen.length;
    bed.proxy.fault({ answer: { status: 410, body: { code: 410 } } }, isWatch, 1);
    bed.proxy.fault({ answer: { status: 500 } }, second, 1);
    bed.proxy.stallWatches();
    await bed.direct.delete(CONFIG_MAPS, { namespace, name: 'c-4' });
    bed.proxy.cutWatches();
    await equalToServer(cache);
    expect(kinds(from)).toEqual(['watch', 'list', 'page', 'list', 'page']);
  });
});

describe('back-off', () => {
  it('grows with each failure, waits as long as 429 says, and lists when a version keeps failing', async () => {
    const clock = new ManualClock();
    const tools = instruments(clock);
    const { cache, count } = await watching({ instruments: tools });
    await cache.whenSynced(stop.signal);
    const watches = () => bed.proxy.seen.filter(isWatch).length;
    const end = bed.proxy.fault({ answer: { status: 500 } }, isWatch);
    bed.proxy.cutWatches();
    // The random half is at its middle: 0.75 of 500 ms, doubling.
    for (const [attempt, wait] of [375, 750, 1500, 3000].entries()) {
      await eventually('the failure', async () => clock.pending === 1 && (await count('watchErrors')) === attempt + 1);
      const before = watches();
      await clock.advance(wait - 1);
      expect(watches()).toBe(before);
      await clock.advance(1);
      await eventually('the next attempt', () => watches() === before + 1);
    }
    // The fifth failure in a row: perhaps the server never had this version.
    await eventually('the failure', async () => clock.pending === 1 && (await count('watchErrors')) === 5);
    end();
    bed.proxy.fault({ answer: { status: 429, headers: { 'retry-after': '40' } } }, isWatch, 1);
    await clock.advance(6000);
    await eventually('the 429', async () => clock.pending === 1 && (await count('watchErrors')) === 6);
    expect(await count('relists', { reason: 'failures' })).toBe(1);
    const before = watches();
    await clock.advance(39_999);
    expect(watches()).toBe(before);
    await clock.advance(1);
    await bed.direct.create(CONFIG_MAPS, config('a', 1));
    await equalToServer(cache);
    expect(watches()).toBe(before + 1);
  });
});

describe('the audit', () => {
  it('finds a change that a watch has lost, counts it, and corrects the cache', async () => {
    for (const name of ['lost-change', 'lost-deletion', 'kept']) await bed.direct.create(CONFIG_MAPS, config(name, 1));
    const tools = instruments();
    const { cache, events, count } = await watching({ audit: 3000, instruments: tools });
    await cache.whenSynced(stop.signal);
    // Prometheus sees an increase only in a series that it has scraped before.
    expect(await tools.metrics.registry.metrics()).toContain('kube_audit_divergence_total{resource="configmaps"} 0');
    const end = bed.proxy.fault({ line: line => !line.includes('lost-') }, isWatch);
    bed.proxy.cutWatches();
    await eventually('the next watch', () => bed.proxy.seen.filter(isWatch).length >= 2);
    await bed.direct.apply(CONFIG_MAPS, config('lost-change', 2), { force: true });
    await bed.direct.delete(CONFIG_MAPS, { namespace, name: 'lost-deletion' });
    await bed.direct.create(CONFIG_MAPS, config('lost-creation', 1));
    // Moves the watch beyond the lost change.
    await bed.direct.apply(CONFIG_MAPS, config('kept', 2), { force: true });
    await eventually('the audit', async () => (await count('divergence')) >= 3);
    end();
    await equalToServer(cache);
    expect(await count('divergence')).toBe(3);
    expect(events).toEqual(
      expect.arrayContaining(['modified lost-change 2', 'deleted lost-deletion 1', 'added lost-creation 1']),
    );
  });

  it('finds nothing where nothing was lost, under constant writes', async () => {
    const { cache, count } = await watching({ audit: 500, limit: 5 });
    await cache.whenSynced(stop.signal);
    for (let n = 0; (await count('relists', { reason: 'audit' })) < 3; n++) {
      await bed.direct.apply(CONFIG_MAPS, config(`w-${n % 10}`, n), { force: true });
      if (n % 7 === 0) await bed.direct.delete(CONFIG_MAPS, { namespace, name: `w-${n % 10}` });
    }
    expect(await count('divergence')).toBe(0);
    await equalToServer(cache);
  });
});

describe('our own writes', () => {
  it('are unseen until the watch has sent them', async () => {
    const { cache } = await watching({ idle: 1000 });
    await cache.whenSynced(stop.signal);
    await eventually('the watch', () => bed.proxy.seen.some(isWatch));
    bed.proxy.stallWatches();
    const written = await bed.proxied.apply(CONFIG_MAPS, config('a', 1));
    expect(cache.unseen(object => object.metadata.name === 'b')).toBeUndefined();
    const seen = cache.unseen(object => object.metadata.name === 'a');
    expect(seen).toBeInstanceOf(Promise);
    await seen;
    expect(cache.get(key('a'))?.metadata.resourceVersion).toBe(written.metadata.resourceVersion);
    expect(cache.unseen(() => true)).toBeUndefined();
  });

  it('are unseen until the deleted object is gone', async () => {
    await bed.direct.create(CONFIG_MAPS, config('a', 1));
    const { cache } = await watching({ idle: 1000 });
    await cache.whenSynced(stop.signal);
    await eventually('the watch', () => bed.proxy.seen.some(isWatch));
    bed.proxy.stallWatches();
    await bed.proxied.delete(CONFIG_MAPS, { namespace, name: 'a' });
    const seen = cache.unseen(() => true);
    expect(cache.get(key('a'))).toBeDefined();
    await seen;
    expect(cache.get(key('a'))).toBeUndefined();
  });

  it('count as seen when the watch has passed them, whether or not its selection covers them', async () => {
    const { cache } = await watching({ labelSelector: 'mine=yes' });
    await cache.whenSynced(stop.signal);
    await bed.proxied.apply(CONFIG_MAPS, config('not-mine', 1));
    const seen = cache.unseen(() => true);
    expect(seen).toBeDefined();
    await bed.direct.apply(CONFIG_MAPS, config('mine', 1, { mine: 'yes' }));
    await seen;
    expect([...cache.list()].map(object => object.metadata.name)).toEqual(['mine']);
  });

  it('are seen by a list that began after them', async () => {
    const { cache } = await watching();
    await cache.whenSynced(stop.signal);
    await eventually('the watch', () => bed.proxy.seen.some(isWatch));
    bed.proxy.fault({ answer: { status: 410, body: { code: 410 } } }, isWatch, 1);
    bed.proxy.stallWatches();
    await bed.proxied.apply(CONFIG_MAPS, config('a', 1));
    // As after the restore of a backup: no watch will ever reach this version.
    const future = { ...config('a', 1), metadata: { name: 'z', namespace, uid: 'z', resourceVersion: '999999999999' } };
    for (const listener of bed.proxied.listeners) listener(CONFIG_MAPS, { object: future });
    const seen = cache.unseen(() => true);
    bed.proxy.cutWatches();
    await seen;
    expect(cache.get(key('a'))).toBeDefined();
  });
});

describe('a thousand objects', () => {
  it('in pages of 100, all changed under cuts, stalls and errors: none is lost, none goes back', async () => {
    const names = Array.from({ length: 1000 }, (_, i) => `o-${i}`);
    await inParallel(names, name => bed.direct.create(CONFIG_MAPS, config(name, 0)));
    const { cache } = await watching({ limit: 100, idle: 2000 });
    await cache.whenSynced(stop.signal);
    expect(cache.size).toBe(1001);
    const last = new Map<string, number>();
    const wentBack: string[] = [];
    cache.onChange(change => {
      const { name } = change.object.metadata;
      const n = change.type === 'deleted' ? -1 : Number(change.object.data?.n);
      // An object never goes back to an earlier value, because the writer counts up.
      if (n !== -1 && n < (last.get(name) ?? 0)) wentBack.push(`${name} to ${n}`);
      last.set(name, n);
    });
    let writes = 0;
    await inParallel(
      Array.from({ length: 3000 }, (_, i) => i),
      async i => {
        const name = names[(i * 7919) % 1000] as string;
        if (i % 10 === 9) await bed.direct.delete(CONFIG_MAPS, { namespace, name });
        else await bed.direct.apply(CONFIG_MAPS, config(name, i), { force: true });
        writes++;
        if (writes % 400 === 0) bed.proxy.cutWatches();
        if (writes % 700 === 0) bed.proxy.stallWatches();
        if (writes === 1000) bed.proxy.fault({ answer: { status: 410, body: { code: 410 } } }, isWatch, 1);
        if (writes === 1500) bed.proxy.fault({ answer: { status: 500 } }, isWatch, 2);
        if (writes === 2000) bed.proxy.fault({ answer: { status: 429, headers: { 'retry-after': '1' } } }, isWatch, 1);
      },
    );
    await equalToServer(cache, 60_000);
    expect(wentBack).toEqual([]);
    expect(last.size).toBe(1000);
    for (const object of cache.list()) {
      if (last.has(object.metadata.name)) expect(last.get(object.metadata.name)).toBe(Number(object.data?.n));
    }
  });
});

async function inParallel<I>(items: readonly I[], work: (item: I) => Promise<unknown>): Promise<void> {
  const rest = items.values();
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      for (const item of rest) await work(item);
    }),
  );
}

it('a namespace that the account may not read does not block the others, and is followed once it may', async () => {
  const kubeconfig = inject('kubeconfig');
  const allowed = `${namespace}-allowed`;
  const account = await makeOperatorAccount(bed.direct, kubeconfig, allowed);
  const client = new Client(new Http(connectionSource({ kubeconfig: account })), { fieldManager: 'test' });
  const cache = new Cache(client, PODS, { instruments: instruments(), namespaces: [allowed, namespace] });
  running.push(cache.run(stop.signal));
  await cache.whenSynced(stop.signal);
  expect([...cache.forbidden.keys()]).toEqual([namespace]);
  expect(cache.forbidden.get(namespace)).toContain('forbidden');
  const binding = { metadata: { name: 'ooni-operator', namespace } };
  const rbac = (plural: string, kind: string) =>
    defineResource({ group: 'rbac.authorization.k8s.io', version: 'v1', plural, kind, namespaced: true });
  await bed.direct.create(rbac('roles', 'Role'), { ...binding, rules: OPERATOR_RULES } as never);
  await bed.direct.create(rbac('rolebindings', 'RoleBinding'), {
    ...binding,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'ooni-operator' },
    subjects: [{ kind: 'ServiceAccount', name: 'ooni-operator', namespace: allowed }],
  } as never);
  await eventually('the namespace is followed', () => cache.forbidden.size === 0);
  await bed.direct.delete(NAMESPACES, { name: allowed });
  stop.abort();
  await client.http.close();
});
