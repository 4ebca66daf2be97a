import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { TemporalUnavailable } from './errors.ts';
import type { ListedSchedule } from './schedule-list.ts';
import { ScheduleReader } from './schedule-reader.ts';
import type { DescribedSchedule, ScheduleRequest } from './schedules.ts';

/** Milliseconds by which the lists of this server are behind. */
const LAG = 3_000;
const PAUSE = { paused: false, note: '' };

interface Held {
  readonly ownerUID: string;
  readonly hash: string;
  readonly cron: string;
  readonly argument: string;
  readonly paused: boolean;
}

/** Temporal: descriptions show the present, lists show the past. */
class Server {
  readonly clock = new ManualClock();
  readonly #now = new Map<string, Held>();
  readonly #past: { readonly at: number; readonly schedules: ReadonlyMap<string, Held> }[] = [];
  /** Whether lists, and whether descriptions are answered. */
  lists = true;
  describes = true;
  /** Descriptions and lists that were asked for. */
  descriptions: string[] = [];
  listings = 0;
  /** Descriptions that run now, while each takes time. */
  readonly running: (() => void)[] = [];
  slow = false;

  /** Returns what a description would show now. */
  held(id: string): Held | undefined {
    return this.#now.get(id);
  }

  set(id: string, held: Partial<Held> | undefined): void {
    const before = this.#now.get(id) ?? { ownerUID: 'uid', hash: 'h', cron: '0 2', argument: 'x', paused: false };
    if (held) this.#now.set(id, { ...before, ...held });
    else this.#now.delete(id);
    this.#past.push({ at: this.clock.monotonic(), schedules: new Map(this.#now) });
  }

  async describe(id: string): Promise<DescribedSchedule | undefined> {
    this.descriptions.push(id);
    if (!this.describes) throw new TemporalUnavailable('down');
    if (this.slow) await new Promise<void>(resolve => this.running.push(resolve));
    const held = this.#now.get(id);
    if (!held) return undefined;
    const described = `${held.cron} ${held.argument}`;
    return {
      ...{ ownerUID: held.ownerUID, hash: held.hash, described, content: described, print: held.cron },
      ...{ paused: held.paused, note: '', nextFirings: [1], recent: [] },
      version: { raw: {}, conflictToken: new Uint8Array([1]) },
    };
  }

  async list(): Promise<ReadonlyMap<string, ListedSchedule>> {
    this.listings++;
    if (!this.lists) throw new TemporalUnavailable('no visibility');
    const shown = this.#past.findLast(({ at }) => at <= this.clock.monotonic() - LAG)?.schedules ?? new Map();
    return new Map(
      [...shown].map(([id, { cron, paused }]) => [
        id,
        { print: cron, paused, note: '', nextFirings: [1], recent: [] } satisfies ListedSchedule,
      ]),
    );
  }
}

function start(count = 0, perSecond = 10) {
  const server = new Server();
  const ids = Array.from({ length: count }, (_, n) => `s${n}`);
  for (const id of ids) server.set(id, {});
  const reader = new ScheduleReader(server, server.clock, perSecond);
  return { server, reader, ids };
}

const RECORD = { ownerUID: 'uid', hash: 'h', described: '0 2 x' };
const requestOf = (id: string) => ({ id, hash: 'h', ownerUID: 'uid' }) as ScheduleRequest;

test('a schedule that no list shows is not described before its creation, and is described right after it', async () => {
  const { server, reader } = start();
  expect(await reader.read('new')).toBeUndefined();
  expect(server.descriptions).toEqual([]);
  server.set('new', {});
  reader.created(requestOf('new'), PAUSE, true);
  expect(await reader.read('new')).toMatchObject({ ownerUID: 'uid', described: '0 2 x', version: {} });
  expect(server.descriptions).toEqual(['new']);
});

test('after a creation whose answer was lost the existing schedule is described', async () => {
  const { server, reader } = start();
  server.set('lost', { ownerUID: 'somebody' });
  expect(await reader.read('lost')).toBeUndefined();
  reader.created(requestOf('lost'), PAUSE, false);
  expect(await reader.read('lost')).toMatchObject({ ownerUID: 'somebody' });
});

test('a thousand recorded schedules cost no description but the limited ones', async () => {
  const { server, reader, ids } = start(1_000);
  await server.clock.advance(60_000);
  for (const id of ids) expect(await reader.read(id, RECORD)).toMatchObject({ ownerUID: 'uid', hash: 'h' });
  expect(server.listings).toBe(1);
  expect(server.descriptions.length).toBeLessThanOrEqual(11);
  const began = server.descriptions.length;
  for (let second = 0; second < 600; second++) {
    await server.clock.advance(1_000);
    for (const id of ids.slice((second % 50) * 20, (second % 50) * 20 + 20)) await reader.read(id, RECORD);
  }
  expect(server.listings).toBeLessThanOrEqual(42);
  expect(server.descriptions.length - began).toBeLessThanOrEqual(6_000);
  expect(new Set(server.descriptions).size).toBe(1_000);
  // Each is described about every 200 seconds: 1,000 schedules, half of 10 per second.
  expect(server.descriptions.length).toBeLessThanOrEqual(5_000);
});

test('at most two descriptions without need run at a time, so a slow server does not hold every pass', async () => {
  const { server, reader, ids } = start(20);
  await server.clock.advance(60_000);
  await reader.read('s0', RECORD);
  server.slow = true;
  const reads = ids.slice(1).map(id => reader.read(id, RECORD));
  await server.clock.advance(0);
  expect(server.running).toHaveLength(2);
  for (const end of server.running) end();
  expect(await Promise.all(reads)).toHaveLength(19);
});

test('a deletion and a change by hand are seen, however old the list is', async () => {
  const { server, reader } = start(3);
  await server.clock.advance(60_000);
  const read = (id: string) => reader.read(id, RECORD);
  for (const id of ['s0', 's1', 's2']) await read(id);
  await server.clock.advance(20_000);
  server.set('s0', undefined);
  server.set('s1', { cron: '7 7' });
  // A list never shows the arguments.
  server.set('s2', { argument: 'y' });
  await server.clock.advance(20_000);
  expect(await read('s0')).toBeUndefined();
  expect(await read('s1')).toMatchObject({ described: '7 7 x' });
  expect(await read('s2')).toMatchObject({ described: '0 2 y' });
});

test('what a list shows as changed is described long before its turn', async () => {
  const { server, reader, ids } = start(100, 1);
  await server.clock.advance(60_000);
  for (const id of ids) await reader.describe(id);
  await server.clock.advance(20_000);
  server.set('s7', { cron: '7 7' });
  server.set('s8', undefined);
  await server.clock.advance(20_000);
  const before = server.descriptions.length;
  expect(await reader.read('s6')).toMatchObject({ described: '0 2 x' });
  expect(await reader.read('s7')).toMatchObject({ described: '7 7 x' });
  await server.clock.advance(1_000);
  expect(await reader.read('s8')).toBeUndefined();
  expect(server.descriptions.slice(before)).toEqual(['s7', 's8']);
});

test('an old list does not undo what the operator has seen or written', async () => {
  const { server, reader } = start(1);
  await server.clock.advance(60_000);
  await reader.read('s0', RECORD);
  server.set('s0', { paused: true });
  await server.clock.advance(15_000);
  server.set('s0', { paused: false });
  await server.clock.advance(1_000);
  // This list still shows the pause.
  expect(await reader.describe('s0')).toMatchObject({ paused: false });
  expect(await reader.read('s0')).toMatchObject({ paused: false });
  server.set('s0', { hash: 'h2', cron: '1 1' });
  reader.changed('s0');
  expect(await reader.read('s0')).toMatchObject({ hash: 'h2', described: '1 1 x' });
  const before = server.descriptions.length;
  await server.clock.advance(5_000);
  expect(await reader.read('s0')).toMatchObject({ hash: 'h2', described: '1 1 x' });
  expect(server.descriptions).toHaveLength(before);
});

test('a schedule that was deleted by hand right after its creation is seen as gone', async () => {
  const { server, reader } = start();
  await reader.read('brief');
  server.set('brief', {});
  reader.created(requestOf('brief'), PAUSE, true);
  server.set('brief', undefined);
  await server.clock.advance(1_000);
  expect(await reader.read('brief')).toBeUndefined();
});

test('a state from elsewhere than a description has no version, so it cannot be updated', async () => {
  const { server, reader } = start(30, 1);
  await server.clock.advance(60_000);
  const states = [];
  for (let n = 0; n < 30; n++) states.push(await reader.read(`s${n}`, RECORD));
  expect(states.filter(state => state?.version).length).toBe(server.descriptions.length);
  expect(server.descriptions.length).toBeLessThan(5);
});

test('without lists each schedule is described, and without Temporal its state is unknown', async () => {
  const { server, reader } = start(2);
  await server.clock.advance(60_000);
  server.lists = false;
  expect(await reader.read('s0', RECORD)).toMatchObject({ described: '0 2 x' });
  expect(await reader.read('s1')).toMatchObject({ described: '0 2 x' });
  expect(server.listings).toBe(1);
  server.describes = false;
  await expect(reader.read('s0', RECORD)).rejects.toThrow(TemporalUnavailable);
  server.lists = true;
  await server.clock.advance(20_000);
  // The list answers, and a description that was not necessary fails.
  expect(await reader.read('s0', RECORD)).toMatchObject({ described: '0 2 x' });
  server.lists = false;
  await server.clock.advance(20_000);
  await expect(reader.read('s0', RECORD)).rejects.toThrow(TemporalUnavailable);
});

test('a new schedule is unseen until a list or a description shows it, and is described when no list ever does', async () => {
  const { server, reader } = start();
  await reader.read('new');
  server.set('new', {});
  reader.created(requestOf('new'), PAUSE, true);
  server.describes = false;
  expect(await reader.read('new')).toMatchObject({ unseen: true, hash: 'h', ownerUID: 'uid' });
  await server.clock.advance(5_000);
  const listed = await reader.read('new');
  expect(listed).toMatchObject({ hash: 'h', nextFirings: [1] });
  expect(listed).not.toHaveProperty('unseen');
  server.set('hidden', {});
  reader.created(requestOf('hidden'), PAUSE, true);
  await server.clock.advance(1_000);
  server.set('hidden', undefined);
  server.describes = true;
  server.slow = true;
  const busy = [reader.read('new'), reader.describe('new')];
  await server.clock.advance(31_000);
  for (const end of server.running) end();
  await Promise.all(busy);
  server.slow = false;
  expect(await reader.read('hidden')).toBeUndefined();
});

/** What may happen to three schedules, and how much time passes. */
const EVENTS = fc.record({
  what: fc.constantFrom(
    ...(['create', 'lostCreate', 'update', 'pause', 'edit', 'argument', 'delete', 'replace', 'restart'] as const),
    ...(['lists', 'describes', 'nothing', 'nothing'] as const),
  ),
  id: fc.constantFrom('a', 'b', 'c'),
  seconds: fc.constantFrom(0, 1, 4, 12, 40),
});

test('whatever happened, and however old the lists were, the state is right when a minute has passed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(EVENTS, { maxLength: 25 }), async events => {
      const server = new Server();
      let reader = new ScheduleReader(server, server.clock, 10);
      let serial = 0;
      const records = new Map<string, { ownerUID: string; hash: string; described: string }>();
      /** Makes a pass as a controller does: reads, creates what does not exist, and records the description. */
      const pass = async (id: string, answers = true) => {
        const seen = await reader.read(id, records.get(id)).catch(() => 'unknown' as const);
        if (seen === 'unknown') return;
        if (seen?.version) expect(seen).toMatchObject({ ownerUID: server.held(id)?.ownerUID });
        if (seen === undefined) {
          const made = server.held(id) === undefined;
          if (made) server.set(id, { ownerUID: 'uid', hash: 'h', cron: '0 2', argument: 'x', paused: false });
          if (answers) reader.created(requestOf(id), PAUSE, made);
        } else if (seen.described !== undefined && seen.ownerUID === 'uid') {
          records.set(id, { ownerUID: 'uid', hash: seen.hash ?? '', described: seen.described });
        }
      };
      for (const { what, id, seconds } of events) {
        const exists = server.held(id) !== undefined;
        if (what === 'create') await pass(id);
        else if (what === 'lostCreate') await pass(id, false);
        else if (what === 'update' && exists) {
          server.set(id, { hash: 'h', cron: `${serial++} 1`, argument: 'x' });
          reader.changed(id);
        } else if (what === 'pause' && exists) server.set(id, { paused: !server.held(id)?.paused });
        else if (what === 'edit' && exists) server.set(id, { cron: `${serial++} 2` });
        else if (what === 'argument' && exists) server.set(id, { argument: `y${serial++}` });
        else if (what === 'delete') server.set(id, undefined);
        else if (what === 'replace' && exists) server.set(id, { ownerUID: 'somebody', hash: 'other' });
        else if (what === 'restart') reader = new ScheduleReader(server, server.clock, 10);
        else if (what === 'lists') server.lists = !server.lists;
        else if (what === 'describes') server.describes = !server.describes;
        await server.clock.advance(seconds * 1000);
      }
      server.lists = true;
      server.describes = true;
      for (let turn = 0; turn < 20; turn++) {
        for (const id of ['a', 'b', 'c']) await pass(id);
        await server.clock.advance(3_000);
      }
      for (const id of ['a', 'b', 'c']) {
        const { ownerUID, hash, cron, argument, paused } = server.held(id) as Held;
        const seen = await reader.read(id, records.get(id));
        expect(seen).toMatchObject({ ownerUID, hash, described: `${cron} ${argument}`, paused });
      }
    }),
    { numRuns: 200 },
  );
});
