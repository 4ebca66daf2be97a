import { describe, expect, it } from 'vitest';
import { instruments } from '../../test/support/kube.ts';
import { ManualClock, settled } from '../../test/support/manual-clock.ts';
import { WorkQueue } from './queue.ts';

function bed(concurrency = 2) {
  const clock = new ManualClock();
  const tools = { ...instruments(), clock };
  const queue = new WorkQueue({
    name: 'test',
    instruments: tools,
    concurrency,
    waits: { initial: 1000, longest: 4000 },
  });
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const stop = new AbortController();
  const running = queue.run(key => {
    started.push(key);
    return new Promise(resolve => ends.set(key, resolve));
  }, stop.signal);
  const end = async (key: string) => {
    ends.get(key)?.();
    await settled();
  };
  return { clock, queue, started, end, stop, running, metrics: tools.metrics };
}

describe('a work queue', () => {
  it('processes as many keys at a time as allowed, oldest first', async () => {
    const { queue, started, end } = bed(2);
    for (const key of ['a', 'b', 'c', 'd']) queue.add(key);
    expect(started).toEqual(['a', 'b']);
    expect(queue.depth).toBe(2);
    await end('b');
    expect(started).toEqual(['a', 'b', 'c']);
  });

  it('measures the work that is running and the work that has ended', async () => {
    const { queue, clock, end, metrics } = bed(2);
    queue.add('a');
    await clock.advance(3_000);
    queue.add('b');
    await clock.advance(2_000);
    const read = async (name: string) =>
      (await metrics.registry.metrics())
        .split('\n')
        .find(line => line.startsWith(`${name}{`))
        ?.split(' ')[1];
    expect(await read('workqueue_unfinished_work_seconds')).toBe('7');
    expect(await read('workqueue_longest_running_processor_seconds')).toBe('5');
    await end('a');
    expect(await read('workqueue_longest_running_processor_seconds')).toBe('2');
    expect(await read('workqueue_work_duration_seconds_sum')).toBe('5');
    await end('b');
    expect(await read('workqueue_unfinished_work_seconds')).toBe('0');
  });

  it('lets other work run between many keys that wait for nothing', async () => {
    const clock = new ManualClock();
    const queue = new WorkQueue({ name: 'test', instruments: { ...instruments(), clock }, concurrency: 8 });
    const stop = new AbortController();
    let processed = 0;
    let mostInOneTurn = 0;
    const turn = () => {
      const before = processed;
      setImmediate(() => {
        mostInOneTurn = Math.max(mostInOneTurn, processed - before);
        if (processed < 1000) turn();
        else stop.abort();
      });
    };
    turn();
    for (let each = 0; each < 1000; each++) queue.add(`key-${each}`);
    await queue.run(async () => {
      // Each key takes a millisecond of the processor.
      clock.pause(1);
      processed++;
    }, stop.signal);
    expect(processed).toBe(1000);
    expect(mostInOneTurn).toBeLessThanOrEqual(30);
  });

  it('starts keys with changes before those that are only looked at again, and one of the latter in five', async () => {
    const { queue, clock, started, end } = bed(1);
    queue.add('busy');
    for (let each = 0; each < 20; each++) queue.add(`again-${each}`, 1_000, true);
    await clock.advance(2_000);
    for (let each = 0; each < 8; each++) queue.add(`new-${each}`);
    // A change of an object that waits for another look.
    queue.add('again-19');
    expect(queue.depth).toBe(28);
    for (let each = 0; each < 14; each++) await end(started.at(-1) as string);
    expect(started.slice(1, 12)).toEqual([
      ...['new-0', 'new-1', 'new-2', 'again-0', 'new-3', 'new-4', 'new-5', 'new-6', 'again-1', 'new-7', 'again-19'],
    ]);
    expect(started.slice(12)).toEqual(['again-2', 'again-3', 'again-4']);
  });

  it('holds a key once, however often it is added', async () => {
    const { queue, started, end } = bed(1);
    for (const key of ['a', 'b', 'b', 'b']) queue.add(key);
    await end('a');
    await end('b');
    expect(started).toEqual(['a', 'b']);
  });

  it('never processes a key twice at a time, and repeats one that was added meanwhile', async () => {
    const { queue, started, end } = bed(2);
    queue.add('a');
    queue.add('a');
    queue.add('a');
    expect(started).toEqual(['a']);
    await end('a');
    expect(started).toEqual(['a', 'a']);
    await end('a');
    expect(started).toEqual(['a', 'a']);
  });

  it.each([
    ['later first', [5000, 2000]],
    ['sooner first', [2000, 5000]],
  ])('uses the shorter of two delays: %s', async (_, delays) => {
    const { clock, queue, started, end } = bed();
    for (const delay of delays) queue.add('a', delay);
    await clock.advance(1999);
    expect(started).toEqual([]);
    await clock.advance(1);
    expect(started).toEqual(['a']);
    await end('a');
    await clock.advance(10_000);
    expect(started).toEqual(['a']);
  });

  it('processes a ready key now instead of after its delay', async () => {
    const { clock, queue, started, end } = bed();
    queue.add('a', 5000);
    queue.add('a');
    await end('a');
    await clock.advance(10_000);
    expect(started).toEqual(['a']);
    expect(clock.pending).toBe(0);
  });

  it('does not start a delayed key while it is processed', async () => {
    const { clock, queue, started, end } = bed();
    queue.add('a');
    queue.add('a', 1000);
    await clock.advance(2000);
    expect(started).toEqual(['a']);
    await end('a');
    expect(started).toEqual(['a', 'a']);
  });

  it('backs off per key, doubling to the maximum, until forgotten', async () => {
    const { clock, queue, started, end } = bed();
    clock.chance = 0.999_999_999;
    // Waits after the first failures: 1, 2, 4, 4 s.
    for (const wait of [1000, 2000, 4000, 4000]) {
      const before = started.length;
      queue.retry('a');
      await clock.advance(wait - 1);
      expect(started.length).toBe(before);
      await clock.advance(1);
      expect(started.length).toBe(before + 1);
      await end('a');
    }
    queue.forget('a');
    queue.retry('a');
    await clock.advance(1000);
    expect(started.length).toBe(5);
  });

  it('retries a key whose worker throws, and keeps working', async () => {
    const clock = new ManualClock();
    const tools = { ...instruments(), clock };
    const queue = new WorkQueue({ name: 'test', instruments: tools, concurrency: 1 });
    let calls = 0;
    const stop = new AbortController();
    const running = queue.run(async () => {
      if (++calls === 1) throw new Error('broken');
    }, stop.signal);
    queue.add('a');
    await clock.advance(10_000);
    expect(calls).toBe(2);
    stop.abort();
    await running;
  });

  it('drains: ends after the running work and starts no more', async () => {
    const { clock, queue, started, end, stop, running } = bed(1);
    queue.add('a');
    queue.add('b');
    queue.add('c', 1000);
    stop.abort();
    let over = false;
    void running.then(() => {
      over = true;
    });
    queue.add('d');
    await clock.advance(5000);
    expect([started, over]).toEqual([['a'], false]);
    await end('a');
    await running;
    expect(started).toEqual(['a']);
    expect(clock.pending).toBe(0);
  });

  it('counts depth, adds, waiting time and retries under the names of client-go', async () => {
    const { clock, queue, end, metrics } = bed(1);
    queue.add('a');
    queue.add('b');
    await clock.advance(3000);
    expect(queue.longest).toBe(3000);
    await end('a');
    queue.retry('a');
    const text = await metrics.registry.metrics();
    expect(text).toContain('workqueue_depth{name="test",controller="test"} 0');
    expect(text).toContain('workqueue_adds_total{name="test",controller="test"} 2');
    expect(text).toContain('workqueue_queue_duration_seconds_sum{name="test",controller="test"} 3');
    expect(text).toContain('workqueue_retries_total{name="test",controller="test"} 1');
  });
});
