import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { LEASES } from '../../operator/kube/builtin.ts';
import { Client } from '../../operator/kube/client.ts';
import { connectionSource } from '../../operator/kube/config.ts';
import { Http, type HttpRequest } from '../../operator/kube/http.ts';
import { LeaderLease, LeaseLostError, microTime } from '../../operator/kube/lease.ts';
import { CONFIG_MAPS, eventually, instruments, type KubeBed, kubeBed } from '../support/kube.ts';
import { ApiProxy } from '../support/kube-api-proxy.ts';
import { ManualClock, settled } from '../support/manual-clock.ts';

const namespace = `lease-${randomUUID().slice(0, 8)}`;
let bed: KubeBed;
let name: string;
let candidates: Candidate[];
beforeAll(async () => {
  bed = await kubeBed(inject('kubeconfig'), namespace);
});
beforeEach(() => {
  name = `l-${randomUUID().slice(0, 8)}`;
  candidates = [];
});
afterEach(async () => {
  for (const candidate of candidates) await candidate.end();
});
afterAll(() => bed.stop());

/** Knows whether requests are running, so that a test moves clocks only between them. */
class CountingHttp extends Http {
  active = 0;
  override async request<T>(request: HttpRequest): Promise<T> {
    this.active++;
    try {
      return await super.request<T>(request);
    } finally {
      this.active--;
    }
  }
}

/** A candidate for leadership with its own clock, network and connection. Its time moves only when the test moves it. */
class Candidate {
  readonly clock = new ManualClock();
  readonly stop = new AbortController();
  readonly proxy: ApiProxy;
  readonly http: CountingHttp;
  readonly lease: LeaderLease;
  readonly writer: Client;
  /** The signal of its work while it leads; the work ends with it. */
  work: AbortSignal | undefined;
  outcome: unknown;
  readonly held: Promise<void>;

  static async start(identity: string, workEnds: (signal: AbortSignal) => Promise<void> = aborted): Promise<Candidate> {
    const candidate = new Candidate(
      identity,
      await ApiProxy.start(connectionSource({ kubeconfig: inject('kubeconfig') })),
      workEnds,
    );
    candidates.push(candidate);
    await quiet();
    return candidate;
  }

  private constructor(identity: string, proxy: ApiProxy, workEnds: (signal: AbortSignal) => Promise<void>) {
    this.proxy = proxy;
    this.http = new CountingHttp(proxy.source, { clock: this.clock });
    const client = new Client(this.http, { fieldManager: identity });
    this.lease = new LeaderLease({ client, namespace, name, identity, instruments: instruments(this.clock) });
    this.writer = client.guardedBy(this.lease.assertHeld);
    this.held = this.lease
      .hold(this.stop.signal, async signal => {
        this.work = signal;
        await workEnds(signal);
      })
      .then(
        () => {
          this.outcome = 'ended';
        },
        error => {
          this.outcome = error;
        },
      );
  }

  async end(): Promise<void> {
    this.proxy.up();
    this.stop.abort();
    await eventually('the end', async () => {
      await this.clock.advance(1000);
      return this.outcome !== undefined;
    });
    await this.http.close();
    await this.proxy.stop();
  }
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** Resolves when no candidate has a running request. */
async function quiet(): Promise<void> {
  await settled();
  await eventually('requests end', () => candidates.every(({ http }) => http.active === 0));
  await settled();
}

/**
 * Moves the time of these candidates from timer to timer, and lets the requests of each step end. Time stands still during a request:
 * the next pause begins when the timer fired, however slow the machine is.
 */
async function pass(ms: number, who: readonly Candidate[] = candidates): Promise<void> {
  for (let left = ms; left > 0; ) {
    const step = Math.min(left, 500, ...who.map(({ clock }) => clock.untilNext));
    for (const { clock } of who) await clock.advance(step);
    await quiet();
    left -= step;
  }
}

const stored = () => bed.direct.get(LEASES, { namespace, name });

describe('a leader lease', () => {
  it('is taken, renewed, and released for the next at once when the work has ended', async () => {
    const release = Promise.withResolvers<void>();
    const a = await Candidate.start('a', () => release.promise);
    expect(a.lease.held).toBe(true);
    const first = await stored();
    expect(first.spec).toMatchObject({ holderIdentity: 'a', leaseDurationSeconds: 15, leaseTransitions: 0 });
    expect(first.spec?.renewTime).toMatch(/\.\d{6}Z$/);
    const b = await Candidate.start('b');
    await pass(60_000);
    expect([a.lease.held, b.lease.held]).toEqual([true, false]);
    const renewed = await stored();
    expect(renewed.spec?.acquireTime).toBe(first.spec?.acquireTime);
    expect(Date.parse(renewed.spec?.renewTime ?? '')).toBeGreaterThan(Date.parse(first.spec?.renewTime ?? '') + 55_000);
    // The signal aborts, but its work takes another 20 s: the lease is held and renewed until then.
    a.stop.abort();
    await pass(20_000);
    expect([a.lease.held, b.lease.held]).toEqual([true, false]);
    release.resolve();
    await quiet();
    expect([a.outcome, (await stored()).spec?.holderIdentity]).toEqual(['ended', '']);
    await pass(3000);
    expect(b.lease.held).toBe(true);
    expect((await stored()).spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
  });

  it('is taken from a holder that is gone after observing it for 15 s, not before, whatever the wall clocks show', async () => {
    const a = await Candidate.start('a');
    const b = await Candidate.start('b');
    b.clock.wall += 3_600_000;
    const c = await Candidate.start('c');
    c.clock.wall -= 3_600_000;
    // Only the time of b and c moves: a has crashed.
    await pass(14_500, [b, c]);
    expect([b.lease.held, c.lease.held]).toEqual([false, false]);
    await pass(4000, [b, c]);
    expect([b.lease.held, c.lease.held].filter(Boolean)).toHaveLength(1);
    expect(a.lease.held).toBe(true);
    // Now a continues. By its own clock it was paused for long, before any timer or answer fires.
    a.clock.pause(18_500);
    expect(a.lease.held).toBe(false);
  });

  it.each([0, 500, 1000, 1500, 2000, 2500])(
    'is taken less than 20 s after the last renewal of a holder that dies %i ms after the other one has begun to look',
    async offset => {
      const a = await Candidate.start('a');
      const b = await Candidate.start('b');
      // The longest pause between two looks.
      b.clock.chance = 1;
      await pass(10_000 + offset);
      const renewed = Date.parse((await stored()).spec?.renewTime ?? '');
      await pass(25_000, [b]);
      expect([a.lease.held, b.lease.held]).toEqual([true, true]);
      const taken = Date.parse((await stored()).spec?.acquireTime ?? '');
      // The duration of the lease is 15 s. Both clocks showed the same time when the holder died.
      expect(taken - renewed).toBeGreaterThanOrEqual(15_000);
      expect(taken - renewed).toBeLessThan(20_000);
    },
  );

  it('prevents every write of a paused holder after it wakes', async () => {
    const a = await Candidate.start('a');
    const config = (by: string) => ({ metadata: { name, namespace }, data: { by } });
    await a.writer.apply(CONFIG_MAPS, config('a'));
    const b = await Candidate.start('b');
    a.clock.pause(30_000);
    await pass(30_000, [b]);
    expect(b.lease.held).toBe(true);
    await b.writer.apply(CONFIG_MAPS, config('b'), { force: true });
    // The first action of a when it wakes: a write.
    await expect(a.writer.apply(CONFIG_MAPS, config('a'), { force: true })).rejects.toBeInstanceOf(LeaseLostError);
    await expect(a.writer.delete(CONFIG_MAPS, { namespace, name })).rejects.toBeInstanceOf(LeaseLostError);
    expect((await bed.direct.get(CONFIG_MAPS, { namespace, name })).data).toEqual({ by: 'b' });
    await pass(2000);
    expect(a.work?.reason).toBeInstanceOf(LeaseLostError);
    expect(a.outcome).toBeInstanceOf(LeaseLostError);
    expect((await stored()).spec?.holderIdentity).toBe('b');
  });

  it('sends no write that was waiting for its connection when the lease expired', async () => {
    const a = await Candidate.start('a');
    const before = a.proxy.seen.length;
    a.proxy.fault({ answer: { status: 429, headers: { 'retry-after': '11' } } }, ({ method }) => method === 'POST', 1);
    const writing = a.writer.create(CONFIG_MAPS, { metadata: { name: `${name}-late`, namespace } });
    const refused = expect(writing).rejects.toBeInstanceOf(LeaseLostError);
    await eventually('the 429', () => a.proxy.seen.length > before);
    await settled();
    a.proxy.fault({ refuse: true }, ({ method }) => method !== 'POST');
    await a.clock.advance(11_000);
    await refused;
    expect(await bed.direct.find(CONFIG_MAPS, { namespace, name: `${name}-late` })).toBeUndefined();
  });

  it('is given up by a holder without connection before anybody else takes it', async () => {
    const a = await Candidate.start('a');
    const b = await Candidate.start('b');
    await pass(5000);
    a.proxy.down();
    for (let second = 0; second < 30; second++) {
      await pass(1000);
      expect([a, b].filter(({ lease }) => lease.held).length).toBeLessThanOrEqual(1);
    }
    expect(a.outcome).toBeInstanceOf(LeaseLostError);
    expect(b.lease.held).toBe(true);
  });

  it('survives renewals that fail or whose answers are lost', async () => {
    const a = await Candidate.start('a');
    a.proxy.fault({ loseAnswer: true }, ({ method }) => method === 'PUT', 2);
    await pass(8000);
    a.proxy.fault({ answer: { status: 500 } }, ({ method }) => method === 'PUT', 2);
    await pass(20_000);
    expect(a.lease.held).toBe(true);
    expect(a.outcome).toBeUndefined();
    expect((await stored()).spec).toMatchObject({ holderIdentity: 'a', leaseTransitions: 0 });
  });

  it.each([
    [
      'taken by force',
      async () => {
        const lease = await stored();
        await bed.direct.replace(LEASES, {
          ...lease,
          spec: { ...lease.spec, holderIdentity: 'thief', renewTime: microTime(0) },
        });
      },
      'was taken by thief',
    ],
    ['deleted', () => bed.direct.delete(LEASES, { namespace, name }), 'was deleted'],
  ])('is lost when it is %s', async (_, harm, message) => {
    const a = await Candidate.start('a');
    await harm();
    await pass(2000);
    expect(a.outcome).toBeInstanceOf(LeaseLostError);
    expect(String(a.outcome)).toContain(message);
  });

  it('fails the liveness check when it cannot be renewed, and when the work does not end with it', async () => {
    const release = Promise.withResolvers<void>();
    const a = await Candidate.start('a', () => release.promise);
    await pass(9000);
    expect(a.lease.stalled()).toBeUndefined();
    // The event loop is blocked: no timer has fired.
    a.clock.pause(13_000);
    expect(a.lease.stalled()).toBe(`lease ${name} is 4 s past its renew deadline`);
    await pass(1000);
    expect(a.work?.reason).toBeInstanceOf(LeaseLostError);
    expect(a.lease.stalled()).toBeUndefined();
    await pass(15_000);
    expect(a.lease.stalled()).toBe(`lease ${name} is lost and the work of the leader has not ended`);
    release.resolve();
    await quiet();
    expect(a.lease.stalled()).toBeUndefined();
  });

  it('waits for its namespace, and for an unavailable server', async () => {
    const proxy = await ApiProxy.start(connectionSource({ kubeconfig: inject('kubeconfig') }));
    proxy.down();
    const clock = new ManualClock();
    const http = new Http(proxy.source, { clock });
    const client = new Client(http, { fieldManager: 'x' });
    const lease = new LeaderLease({ client, namespace, name, instruments: instruments(clock) });
    const stop = new AbortController();
    const holding = lease.hold(stop.signal, aborted);
    await eventually('some attempts', async () => {
      await clock.advance(500);
      return clock.monotonic() > 20_000;
    });
    expect(lease.held).toBe(false);
    proxy.up();
    await eventually('the lease', async () => {
      await clock.advance(200);
      return lease.held;
    });
    stop.abort();
    await holding;
    await http.close();
    await proxy.stop();
  });

  it('never has two holders, under random pauses, cuts and lost answers', async () => {
    let seed = 20_240_101;
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed / 2_147_483_648;
    };
    const lives = new Map<string, Candidate>();
    let generation = 0;
    const born = async (slot: string) => lives.set(slot, await Candidate.start(`${slot}${generation++}`));
    await born('a');
    await born('b');
    const log: string[] = [];
    let lastWriter = '';
    let changes = 0;
    for (let step = 0; step < 250; step++) {
      const [slot, one] = [...lives][Math.floor(random() * 2)] as [string, Candidate];
      const dice = random();
      if (dice < 0.06) one.proxy.down();
      else if (dice < 0.2) for (const { proxy } of lives.values()) proxy.up();
      else if (dice < 0.25) one.proxy.fault({ loseAnswer: true }, ({ method }) => method === 'PUT', 2);
      // Paused: only the time of the other moves, then the clock of this one jumps.
      const ms = 1000 + Math.floor(random() * 3000);
      if (dice > 0.9) {
        const long = 16_000;
        await pass(
          long,
          [...lives.values()].filter(life => life !== one),
        );
        one.clock.pause(long);
      } else {
        await pass(ms, [...lives.values()]);
      }
      const holders = [...lives.values()].filter(({ lease }) => lease.held);
      log.push(`${step} ${slot} ${dice.toFixed(2)} ${holders.map(({ lease }) => lease.identity)}`);
      expect(holders.length, log.slice(-5).join('\n')).toBeLessThanOrEqual(1);
      for (const life of lives.values()) {
        const wrote = await life.writer
          .apply(CONFIG_MAPS, { metadata: { name, namespace }, data: { by: life.lease.identity } }, { force: true })
          .then(() => true)
          .catch(() => false);
        if (!wrote) continue;
        expect(life.lease.identity).toBe(holders[0]?.lease.identity);
        if (lastWriter !== life.lease.identity) changes++;
        lastWriter = life.lease.identity;
      }
      await quiet();
      for (const [name, life] of [...lives]) {
        if (life.outcome === undefined) continue;
        expect(life.outcome).toBeInstanceOf(LeaseLostError);
        await born(name);
      }
    }
    expect(changes).toBeGreaterThan(5);
  });
});
