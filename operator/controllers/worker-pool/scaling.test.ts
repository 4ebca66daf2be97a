import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decide,
  freshMemory,
  hold,
  limited,
  type Memory,
  neededPods,
  observedWork,
  type QueueSignal,
  type Scaling,
  stabilized,
  taskSeconds,
  tolerated,
  type Work,
} from './scaling.ts';

const SCALING: Scaling = {
  minReplicas: 0,
  maxReplicas: 20,
  utilization: 0.8,
  drainWithin: 600,
  cooldown: 300,
  scaleUp: { stabilization: 0, podsPerMinute: 10 },
  scaleDown: { stabilization: 300, podsPerMinute: 4 },
};
const queue = (over: Partial<QueueSignal> = {}): QueueSignal => ({
  tasks: 'Activities',
  backlog: 0,
  share: 1,
  addRate: 0,
  dispatchRate: 0,
  ownSlots: 0,
  allSlots: over.ownSlots ?? 0,
  slotsPerPod: 2,
  ...over,
});
const T = 1_000_000_000;
const minutes = (n: number) => T + n * 60_000;

describe('need', () => {
  test('while the duration of a task is not known: slots for all waiting tasks at once', () => {
    // (14 + 2) / 2
    expect(neededPods(queue({ backlog: 14, ownSlots: 2 }), SCALING)).toBeCloseTo(8);
  });

  test('two long tasks one after the other in each slot', () => {
    // 40 tasks of 3 minutes in 6 minutes: 20 slots
    expect(neededPods(queue({ backlog: 40 }), SCALING, 180)).toBeCloseTo(10);
  });

  test('at most drainWithin, and never more slots than tasks', () => {
    // 40 tasks of 7 minutes in 10 minutes: 28 slots
    expect(neededPods(queue({ backlog: 40 }), SCALING, 420)).toBeCloseTo(14);
    expect(neededPods(queue({ backlog: 40 }), SCALING, 7200)).toBeCloseTo(20);
  });

  test('short tasks: the backlog within two minutes, and slots for the rate of arrival at the target utilization', () => {
    // 1,200 tasks of 1 s in 120 s: 10 slots; 8 new ones a second keep 8 slots busy, which are 0.8 of 10 slots
    expect(neededPods(queue({ backlog: 1200, addRate: 8 }), SCALING, 1)).toBeCloseTo(10);
  });

  test('of a queue that other pools share, a pool takes its part', () => {
    expect(neededPods(queue({ backlog: 1200, addRate: 8, share: 0.5 }), SCALING, 1)).toBeCloseTo(5);
  });
});

describe('duration of a task', () => {
  /** Reads a queue every ten seconds, with the slots in use and the tasks per second that began since the reading before. */
  const read = (readings: readonly (readonly [slots: number, rate: number])[]) =>
    readings.reduce<Work | undefined>(
      (work, [allSlots, dispatchRate], index) =>
        observedWork(work, queue({ allSlots, dispatchRate }), T + index * 10_000),
      undefined,
    );

  test('is not known before ten tasks have ended', () => {
    // 20 tasks begin, and run.
    expect(
      taskSeconds(
        read([
          [0, 0],
          [20, 2],
          [20, 0],
          [20, 0],
        ]),
      ),
    ).toBeUndefined();
  });

  test('is the time in slots divided by the tasks that ended', () => {
    // 20 tasks begin and end after 30 s.
    expect(
      taskSeconds(
        read([
          [0, 0],
          [20, 2],
          [20, 0],
          [20, 0],
          [0, 0],
        ]),
      ),
    ).toBeCloseTo(30);
  });

  test('does not count a time without readings', () => {
    const work = read([
      [0, 0],
      [20, 2],
      [20, 0],
      [20, 0],
      [0, 0],
    ]);
    expect(taskSeconds(observedWork(work, queue({ allSlots: 20 }), T + 3_600_000))).toBeCloseTo(30);
  });

  test('follows the load', () => {
    let work: Work | undefined;
    let at = T;
    const step = (allSlots: number, dispatchRate: number) => {
      work = observedWork(work, queue({ allSlots, dispatchRate }), at);
      at += 10_000;
    };
    // A hundred tasks of 10 s every ten seconds, then ten of 100 s.
    for (let i = 0; i < 20; i++) step(100, 10);
    expect(taskSeconds(work)).toBeCloseTo(10);
    for (let i = 0; i < 400; i++) step(100, 1);
    expect(taskSeconds(work)).toBeGreaterThan(90);
  });
});

describe('steps', () => {
  test('a need within a tenth changes nothing', () => {
    expect(tolerated(10, 10.9)).toBe(10);
    expect(tolerated(10, 9.1)).toBe(10);
    expect(tolerated(10, 11.2)).toBe(12);
    expect(tolerated(10, 8.2)).toBe(9);
    expect(tolerated(0, 0.1)).toBe(1);
  });

  test('the greatest recommendation of the window applies when scaling down, the smallest when scaling up', () => {
    const memory: Memory = {
      recommendations: [
        { since: minutes(-4), replicas: 9 },
        { since: minutes(0), replicas: 2 },
        { since: minutes(3), replicas: 1 },
      ],
      changes: [],
    };
    expect(stabilized(memory, SCALING, 10, minutes(4))).toBe(9);
    expect(stabilized(memory, SCALING, 10, minutes(6))).toBe(2);
    const up = { ...SCALING, scaleUp: { stabilization: 600, podsPerMinute: 10 } };
    const rising: Memory = {
      recommendations: [
        { since: minutes(0), replicas: 4 },
        { since: minutes(1), replicas: 12 },
      ],
      changes: [],
    };
    expect(stabilized(rising, up, 3, minutes(1))).toBe(4);
    expect(stabilized(rising, up, 5, minutes(1))).toBe(5);
  });

  test('the changes of the last minute count towards the limit', () => {
    const memory: Memory = {
      recommendations: [],
      changes: [
        { at: minutes(0), delta: 7 },
        { at: minutes(0), delta: -3 },
      ],
    };
    expect(limited(memory, SCALING, 10, 20, minutes(0.5))).toBe(13);
    expect(limited(memory, SCALING, 10, 0, minutes(0.5))).toBe(9);
    expect(limited(memory, SCALING, 10, 20, minutes(1.1))).toBe(20);
  });
});

describe('decision', () => {
  const run = (
    queues: QueueSignal[],
    current: number,
    memory = freshMemory(current, T),
    now = T,
    scaling = SCALING,
    busyPods = 0,
  ) => decide({ signals: { queues, busyPods }, scaling, current, before: memory, now, at: now });

  test('the queue that needs most decides, and the decision shows every step', () => {
    const { decision } = run([queue({ backlog: 8 }), queue({ tasks: 'Workflows', backlog: 40, slotsPerPod: 40 })], 1);
    expect(decision).toMatchObject({
      current: 1,
      needed: 4,
      tolerated: 4,
      stabilized: 4,
      limited: 4,
      desired: 4,
      reason: 'Needed',
    });
    expect(decision.message).toContain('Activities: 8 waiting, 0 slots busy');
  });

  test.each([
    ['the rate limit', [queue({ backlog: 100 })], 1, { desired: 11, reason: 'RateLimit' }],
    ['the upper bound', [queue({ backlog: 100 })], 15, { desired: 20, reason: 'MaxReplicas' }],
    ['the tolerance', [queue({ backlog: 21 })], 10, { needed: 11, tolerated: 10, desired: 10, reason: 'Tolerance' }],
    [
      'more than the tolerance',
      [queue({ backlog: 22, ownSlots: 1 })],
      10,
      { needed: 12, desired: 12, reason: 'Needed' },
    ],
  ] as const)('%s', (_, queues, current, expected) => {
    expect(run([...queues], current).decision).toMatchObject(expected);
  });

  test('a new leader does not scale down at once', () => {
    const first = run([queue()], 5);
    expect(first.decision).toMatchObject({ desired: 5, reason: 'Stabilization' });
    const later = run([queue()], 5, first.memory, minutes(6));
    expect(later.decision).toMatchObject({ desired: 1, reason: 'RateLimit' });
  });

  test('a pool scales to zero only after the cooldown without backlog, new tasks and busy slots', () => {
    let memory = freshMemory(1, T);
    let current = 1;
    const desired: number[] = [];
    for (const [minute, signal] of [
      [0.9, queue({ addRate: 0.1 })],
      [1, queue()],
      [4, queue()],
      [5, queue()],
      [6, queue()],
      [6.1, queue()],
    ] as const) {
      const result = run([signal], current, memory, minutes(minute), {
        ...SCALING,
        scaleDown: { stabilization: 0, podsPerMinute: 4 },
      });
      memory = result.memory;
      current = result.decision.desired;
      desired.push(current);
    }
    expect(desired).toEqual([1, 1, 1, 1, 0, 0]);
  });

  test('busy pods are not removed', () => {
    const memory: Memory = { recommendations: [], changes: [] };
    const { decision } = run([queue({ ownSlots: 8 })], 8, memory, T, SCALING, 8);
    expect(decision).toMatchObject({ needed: 4, occupied: 8, desired: 8, reason: 'Occupied' });
  });

  test('a pool scales from zero as soon as a task waits', () => {
    expect(run([queue({ backlog: 1 })], 0).decision).toMatchObject({ desired: 1, reason: 'Needed' });
  });

  // Tasks that are over between two readings are never seen in a slot.
  test('a waiting or running task needs a pod, whatever was observed before', () => {
    const reading = fc.record({
      backlog: fc.nat({ max: 20 }),
      addRate: fc.double({ min: 0, max: 5, noNaN: true }),
      dispatchRate: fc.double({ min: 0, max: 5, noNaN: true }),
      slots: fc.nat({ max: 6 }),
      seconds: fc.integer({ min: 1, max: 90 }),
    });
    fc.assert(
      fc.property(fc.array(reading, { maxLength: 30 }), fc.constantFrom(0, 3), (readings, mostSlots) => {
        let memory = freshMemory(0, T);
        let now = T;
        for (const { seconds, backlog, addRate, dispatchRate, slots } of readings) {
          now += seconds * 1000;
          const ownSlots = Math.min(slots, mostSlots);
          const signal = queue({ backlog, addRate, dispatchRate, ownSlots });
          const made = run([signal], 0, memory, now);
          if (backlog + ownSlots > 0) expect(made.decision.needed).toBeGreaterThanOrEqual(1);
          memory = made.memory;
        }
      }),
    );
  });

  test('the memory does not grow', () => {
    let memory = freshMemory(1, T);
    for (let i = 0; i < 1000; i++) memory = run([queue({ backlog: i % 7 })], 3, memory, T + i * 10_000).memory;
    expect(memory.recommendations.length).toBeLessThanOrEqual(32);
    expect(memory.changes.length).toBeLessThanOrEqual(7);
  });
});

describe('while the load is not known', () => {
  /** Needed nine pods three minutes ago, and none since a minute. */
  const between: Memory = {
    recommendations: [
      { since: minutes(-3), replicas: 9 },
      { since: minutes(-1), replicas: 0 },
    ],
    changes: [],
    idleSince: minutes(-1),
  };
  /** The number of pods after each of the given minutes, with a pass at each of them. */
  const held = (times: readonly number[], over: Partial<Parameters<typeof hold>[0]> = {}) => {
    let before: Memory | undefined = between;
    let current = 0;
    return times.map(minute => {
      const { desired, memory } = hold({
        ...{ scaling: SCALING, current, activeRuns: true, before, now: minutes(minute) },
        ...over,
      });
      before = memory;
      current = desired;
      return desired;
    });
  };

  test('a pool between two waves gets what the last wave required, after half a minute, and keeps it', () => {
    expect(held([0, 0.25, 0.5, 1, 60])).toEqual([0, 0, 9, 9, 9]);
  });

  test('without active runs, the number stays', () => {
    expect(held([0, 0.5, 60], { activeRuns: false })).toEqual([0, 0, 0]);
  });

  test('only the last cooldown counts', () => {
    expect(held([0, 0.5, 60], { scaling: { ...SCALING, cooldown: 50 } })).toEqual([0, 0, 0]);
  });

  test('the limit per minute and the bounds apply', () => {
    const scaling = { ...SCALING, maxReplicas: 7, scaleUp: { stabilization: 0, podsPerMinute: 4 } };
    expect(held([0, 0.5, 1, 1.5, 2], { scaling })).toEqual([0, 4, 4, 7, 7]);
    expect(held([0], { scaling: { ...SCALING, minReplicas: 2 } })).toEqual([2]);
    expect(hold({ scaling, current: 8, now: T, before: undefined, activeRuns: true })).toEqual({ desired: 7 });
  });

  test('that time does not count as idle, and ends with the next reading', () => {
    const { memory } = hold({ scaling: SCALING, current: 0, now: T, before: between, activeRuns: true });
    expect(memory).toMatchObject({ unknownSince: T });
    expect(memory).not.toHaveProperty('idleSince');
    const signals = { queues: [queue()], busyPods: 0 };
    const next = decide({ signals, scaling: SCALING, current: 0, before: memory!, now: minutes(1), at: minutes(1) });
    expect(next.memory).not.toHaveProperty('unknownSince');
  });
});
