import type { Arrival, Shape } from './engine.ts';

const HOUR = 3600;

/** A bucket of a day: about forty batches of some minutes. */
const bucket = (at: number): Arrival => ({ at, tasks: 40, duration: 180 });
/** Buckets of a backfill with four active runs: the next one begins when a quarter of the time of four has passed. */
const backfill = (days: number, pause: number) => ({
  backfill: true,
  arrivals: Array.from({ length: days }, (_, day) => bucket(600 + Math.max(0, day - 3) * pause)),
});

/** Shapes of load. */
export const SHAPES: readonly Shape[] = [
  { name: 'daily run', slots: 2, pools: 1, length: 48 * HOUR, arrivals: [bucket(2 * HOUR), bucket(26 * HOUR)] },
  { name: 'backfill of a month', slots: 2, pools: 1, length: 8 * HOUR, ...backfill(30, 400) },
  { name: 'burst', slots: 2, pools: 1, length: 4 * HOUR, arrivals: [{ at: 600, tasks: 2000, duration: 20 }] },
  { name: 'long tasks', slots: 2, pools: 1, length: 12 * HOUR, arrivals: [{ at: 600, tasks: 30, duration: 2 * HOUR }] },
  {
    ...{ name: 'metrics lost during work', slots: 2, pools: 1, length: 6 * HOUR, blind: [[1450, 3250]] as const },
    ...backfill(12, 400),
  },
  {
    ...{ name: 'metrics lost while idle', slots: 2, pools: 1, length: 6 * HOUR, blind: [[1800, 3600]] as const },
    ...backfill(12, 400),
  },
  { name: 'two pools', slots: 2, pools: 2, length: 6 * HOUR, ...backfill(12, 200) },
];
