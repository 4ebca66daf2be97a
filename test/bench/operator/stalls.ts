/**
 * Records the stalls of the event loop of this process: times in which it ran no timer. A stall has the time by the clock, the processor time that the
 * thread took in it, and the time for which the garbage collector held the thread. A process that waits for a processor has a long stall
 * with little processor time.
 */
import { appendFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';

/** A stall. All values are milliseconds. */
export interface Stall {
  /** End of the stall since the start of the process. */
  readonly at: number;
  readonly clock: number;
  /** Processor time of the thread, without the helper threads of the garbage collector. */
  readonly processor: number;
  /** Time by the clock of the pauses of the garbage collector. */
  readonly collector: number;
}

/** Milliseconds between two looks at the clock. */
const EVERY = 10;
/** Milliseconds by the clock from which on a delay is recorded. */
const LEAST = 20;

/** Appends each stall as a line of JSON to a file, from now on. */
export function recordStalls(file: string): void {
  /** Stalls whose pauses of the collector may not be known yet: Node reports these in a later turn of the event loop. */
  let found: Stall[] = [];
  let pauses: { start: number; end: number }[] = [];
  new PerformanceObserver(list => {
    for (const { startTime, duration } of list.getEntries()) pauses.push({ start: startTime, end: startTime + duration });
  }).observe({ entryTypes: ['gc'] });
  let before = performance.now();
  let used = threadMilliseconds();
  const look = () => {
    const now = performance.now();
    const processor = threadMilliseconds() - used;
    for (const stall of found) {
      const begin = stall.at - stall.clock - EVERY;
      const overlaps = pauses.map(({ start, end }) => Math.max(0, Math.min(end, stall.at) - Math.max(start, begin)));
      const collector = overlaps.reduce((sum, one) => sum + one, 0);
      appendFileSync(file, `${JSON.stringify({ ...stall, collector })}\n`);
    }
    found = [];
    pauses = pauses.filter(({ end }) => end > before);
    const clock = now - before - EVERY;
    if (clock >= LEAST) found.push({ at: now, clock, processor, collector: 0 });
    [before, used] = [performance.now(), threadMilliseconds()];
    setTimeout(look, EVERY).unref();
  };
  look();
}

function threadMilliseconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
