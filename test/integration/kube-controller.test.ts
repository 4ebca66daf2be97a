import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, inject, it } from 'vitest';
import { Cache } from '../../operator/kube/cache.ts';
import { Controller, type ControllerOptions, type Reconcile } from '../../operator/kube/controller.ts';
import { AlreadyExistsError, RateLimitedError, TerminalError } from '../../operator/kube/errors.ts';
import {
  controllerReference,
  defineResource,
  type KubeObject,
  keyOf,
  ownerKeys,
} from '../../operator/kube/resource.ts';
import { CONFIG_MAPS, type ConfigMap, eventually, instruments, type KubeBed, openKubeTest } from '../support/kube.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** Another kind without a controller in Kubernetes, owned by our objects in these tests. */
const CHILDREN = defineResource({
  group: '',
  version: 'v1',
  plural: 'secrets',
  kind: 'Secret',
  namespaced: true,
});

let bed: KubeBed;
let namespace: string;
let stop: AbortController;
let running: Promise<void>[];
beforeEach(async () => {
  const started = await openKubeTest(inject('kubeconfig'), 'ctl');
  ({ bed, namespace, stop, running } = started);
  return started.end;
});

const OURS = 'ours=yes';
const parent = (name: string, data: Record<string, string> = {}): ConfigMap => ({
  metadata: { name, namespace, labels: { ours: 'yes' } },
  data,
});

/** Returns a controller of the config maps with our label, over the proxied client. */
function controlling(
  reconcile: Reconcile<ConfigMap>,
  options: Partial<ControllerOptions<ConfigMap>> & { clock?: ManualClock } = {},
) {
  const tools = instruments(options.clock);
  const cache = new Cache(bed.proxied, CONFIG_MAPS, {
    instruments: tools,
    namespaces: [namespace],
    labelSelector: OURS,
    idle: 1000,
  });
  const children = new Cache(bed.proxied, CHILDREN, { instruments: tools, namespaces: [namespace], idle: 1000 });
  const controller = new Controller({
    name: 'test',
    cache,
    reconcile,
    instruments: tools,
    watches: [{ cache: children, keys: ownerKeys(CONFIG_MAPS) }],
    waits: { initial: 50, longest: 200 },
    ...options,
  });
  const start = (signal = stop.signal) => {
    running.push(cache.run(stop.signal), children.run(stop.signal));
    const run = controller.run(signal);
    running.push(run);
    return run;
  };
  const results = async () =>
    Object.fromEntries(
      (await tools.metrics.reconciles.get()).values.map(({ labels, value }) => [labels.result, value]),
    );
  return { controller, cache, children, tools, start, results };
}

describe('a controller', () => {
  it('reconciles existing, changed and deleted objects; and the owner of an object that changes', async () => {
    const passes: string[] = [];
    const bedded = controlling(async (key, { object }) => {
      passes.push(`${key.split('/')[1]} ${object ? object.data?.n : 'gone'}`);
      return undefined;
    });
    const owner = await bed.direct.create(CONFIG_MAPS, parent('a', { n: '1' }));
    bedded.start();
    await eventually('the first pass', () => passes.includes('a 1'));
    await bed.direct.apply(CONFIG_MAPS, parent('a', { n: '2' }), { force: true });
    await eventually('the change', () => passes.includes('a 2'));
    const before = passes.length;
    await bed.direct.create(CHILDREN, {
      metadata: { name: 'child', namespace, ownerReferences: [controllerReference(CONFIG_MAPS, owner)] },
    });
    await eventually('the pass for the child', () => passes.length > before);
    expect(passes.at(-1)).toBe('a 2');
    await bed.direct.delete(CONFIG_MAPS, owner.metadata);
    await eventually('the deletion', () => passes.includes('a gone'));
  });

  it('never reconciles one object twice at a time, but different ones concurrently', async () => {
    let most = 0;
    const active = new Map<string, number>();
    const doubled: string[] = [];
    let passes = 0;
    const bedded = controlling(
      async key => {
        if (active.has(key)) doubled.push(key);
        active.set(key, 1);
        most = Math.max(most, active.size);
        await new Promise(resolve => setTimeout(resolve, 20));
        active.delete(key);
        passes++;
        return undefined;
      },
      { concurrency: 3 },
    );
    for (const name of ['a', 'b', 'c', 'd']) await bed.direct.create(CONFIG_MAPS, parent(name));
    bedded.start();
    for (let n = 0; n < 20; n++) await bed.direct.apply(CONFIG_MAPS, parent('a', { n: String(n) }), { force: true });
    await eventually('some passes', () => passes > 6 && active.size === 0);
    expect([doubled, most]).toEqual([[], 3]);
  });

  it('backs off failures, keeps a terminal error until the next change, and waits as long as requested', async () => {
    const passes: Record<string, number> = {};
    const bedded = controlling(async (_, { object }) => {
      const name = object?.metadata.name ?? '';
      passes[name] = (passes[name] ?? 0) + 1;
      if (name === 'terminal' && object?.data?.fixed !== 'yes') throw new TerminalError('cannot work');
      if (name === 'transient' && (passes[name] ?? 0) < 4) throw new Error('not yet');
      if (name === 'limited' && passes[name] === 1) throw new RateLimitedError('busy', 100);
      if (name === 'again' && (passes[name] ?? 0) < 3) return { requeueAfter: 50 };
      return undefined;
    });
    for (const name of ['terminal', 'transient', 'limited', 'again'])
      await bed.direct.create(CONFIG_MAPS, parent(name));
    bedded.start();
    await eventually('all passes', () => passes.transient === 4 && passes.limited === 2 && passes.again === 3);
    expect(passes.terminal).toBe(1);
    expect(await bedded.results()).toEqual({ error: 4, requeue_after: 3, success: 3 });
    await bed.direct.apply(CONFIG_MAPS, parent('terminal', { fixed: 'yes' }), { force: true });
    await eventually('the pass after the fix', () => passes.terminal === 2);
  });

  it('aborts a pass that takes too long, reports it to the liveness check, and starts no second one beside it', async () => {
    const clock = new ManualClock();
    let passes = 0;
    let reason: unknown;
    const release = Promise.withResolvers<void>();
    const bedded = controlling(
      async (_, { signal }) => {
        passes++;
        signal.addEventListener('abort', () => {
          reason = signal.reason;
        });
        await release.promise;
        signal.throwIfAborted();
        return undefined;
      },
      { clock, timeout: 5000 },
    );
    await bed.direct.create(CONFIG_MAPS, parent('a'));
    bedded.start();
    await eventually('the pass', () => passes === 1);
    await clock.advance(5000);
    expect(String(reason)).toContain('did not end within 5 s');
    expect(bedded.controller.stalled()).toBeUndefined();
    await clock.advance(10_001);
    expect(bedded.controller.stalled()).toBe('a reconciliation has not ended for 15 s');
    expect(passes).toBe(1);
    release.resolve();
    await eventually('the failure is counted', async () => (await bedded.results()).error === 1);
    expect(bedded.controller.stalled()).toBeUndefined();
  });

  it('lets passes end when it stops, and starts no more', async () => {
    const started: string[] = [];
    const release = Promise.withResolvers<void>();
    const aborted: boolean[] = [];
    const bedded = controlling(
      async (key, { signal }) => {
        started.push(key);
        await release.promise;
        aborted.push(signal.aborted);
        return undefined;
      },
      { concurrency: 1 },
    );
    for (const name of ['a', 'b']) await bed.direct.create(CONFIG_MAPS, parent(name));
    const mine = new AbortController();
    const run = bedded.start(mine.signal);
    await eventually('a pass', () => started.length === 1);
    mine.abort();
    let over = false;
    void run.then(() => {
      over = true;
    });
    await new Promise(resolve => setTimeout(resolve, 50));
    expect(over).toBe(false);
    release.resolve();
    await run;
    expect([started.length, aborted]).toEqual([1, [false]]);
  });

  it('ends without a pass when it stops before the caches have synced', async () => {
    bed.proxy.down();
    const passes: string[] = [];
    const bedded = controlling(async key => {
      passes.push(key);
      return undefined;
    });
    const mine = new AbortController();
    const run = bedded.start(mine.signal);
    mine.abort();
    await run;
    bed.proxy.up();
    expect(passes).toEqual([]);
  });
});

describe('our own last write', () => {
  /** Ensures one child for each parent, each with a new name: a decision on an outdated cache creates two. */
  const oneChild =
    (children: () => Cache<KubeObject>): Reconcile<ConfigMap> =>
    async (key, { object }) => {
      if (!object) return undefined;
      const present = [...children().list()].filter(child => ownerKeys(CONFIG_MAPS)(child).includes(key));
      if (present.length === 0) {
        const name = `${object.metadata.name}-${randomUUID().slice(0, 8)}`;
        const ownerReferences = [controllerReference(CONFIG_MAPS, object)];
        await bed.proxied.create(CHILDREN, { metadata: { name, namespace, ownerReferences } });
      }
      return { requeueAfter: 10 };
    };

  it('is seen before the next pass, however late a watch is: no child is created twice', async () => {
    const bedded = controlling((key, context) => oneChild(() => bedded.children)(key, context));
    bedded.start();
    await eventually('the watches', () => bed.proxy.seen.filter(({ watch }) => watch).length >= 2);
    const ofChildren = ({ watch, path }: { watch: boolean; path: string }) => watch && path.includes(CHILDREN.plural);
    // The children's watch never sends an addition. The parents' watch works, and keys return every 10 ms.
    const end = bed.proxy.fault({ line: line => !line.includes('ADDED') }, ofChildren);
    bed.proxy.cutWatches();
    const names = Array.from({ length: 10 }, (_, i) => `p-${i}`);
    for (const name of names) await bed.direct.create(CONFIG_MAPS, parent(name));
    const made = () => bed.direct.list(CHILDREN, { namespace });
    await eventually('a child each', async () => (await made()).length >= names.length);
    await eventually(
      'passes are held',
      async () => (await bedded.tools.metrics.reconcilesHeld.get()).values[0]?.value !== 0,
    );
    for (const name of names) await bed.direct.apply(CONFIG_MAPS, parent(name, { poke: 'yes' }), { force: true });
    await new Promise(resolve => setTimeout(resolve, 500));
    expect(await made()).toHaveLength(names.length);
    end();
    bed.proxy.fault({ answer: { status: 410, body: { code: 410 } } }, ofChildren, 1);
    bed.proxy.cutWatches();
    await eventually('passes go on', () =>
      names.every(
        name =>
          bedded.cache.unseen(o => o.metadata.name === name) === undefined && bedded.children.size === names.length,
      ),
    );
    await new Promise(resolve => setTimeout(resolve, 200));
    expect(await made()).toHaveLength(names.length);
  });

  it('is made once by its name when its answer is lost', async () => {
    let failures = 0;
    const bedded = controlling(async (key, { object }) => {
      if (!object || bedded.children.get(`${key}-child`)) return undefined;
      const ownerReferences = [controllerReference(CONFIG_MAPS, object)];
      try {
        await bed.proxied.create(CHILDREN, {
          metadata: { name: `${object.metadata.name}-child`, namespace, ownerReferences },
        });
      } catch (error) {
        failures++;
        if (!(error instanceof AlreadyExistsError)) throw error;
      }
      return undefined;
    });
    const isCreate = ({ method, path }: { method: string; path: string }) =>
      method === 'POST' && path.endsWith(CHILDREN.plural);
    bed.proxy.fault({ loseAnswer: true }, isCreate, 3);
    bedded.start();
    for (const name of ['a', 'b', 'c']) await bed.direct.create(CONFIG_MAPS, parent(name));
    await eventually('three children', () => bedded.children.size === 3);
    // The watch may send a child before the lost answer is noticed.
    await eventually('three lost answers', () => failures >= 3);
    expect([...bedded.children.list()].map(keyOf).sort()).toEqual(
      ['a', 'b', 'c'].map(name => `${namespace}/${name}-child`),
    );
  });
});
