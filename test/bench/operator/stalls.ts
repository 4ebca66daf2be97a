/**
 * Records the stalls of the event loop of this process: times in which it ran no timer. Beside the time by the clock, a stall has the
 * processor time that the process took in it. A process that waits for a processor has a long stall with little processor time.
 */
import { appendFileSync } from 'node:fs';

/** A stall. All values are milliseconds. */
export interface Stall {
  /** End of the stall since the start of the process. */
  readonly at: number;
  readonly clock: number;
  /** Processor time of the thread of the event loop, and of all threads: those of the garbage collector work while it waits. */
  readonly thread: number;
  readonly process: number;
}

/** Milliseconds between two looks at the clock. */
const EVERY = 10;
/** Milliseconds by the clock from which on a delay is recorded. */
const LEAST = 20;

/** Appends each stall as a line of JSON to a file, from now on. */
export function recordStalls(file: string): void {
  let before = times();
  const look = () => {
    const now = times();
    const clock = now.at - before.at - EVERY;
    if (clock >= LEAST) {
      const [thread, process] = [now.thread - before.thread, now.process - before.process];
      const stall: Stall = { at: now.at, clock, thread, process };
      appendFileSync(file, `${JSON.stringify(stall)}\n`);
    }
    before = times();
    setTimeout(look, EVERY).unref();
  };
  look();
}

function times() {
  const milliseconds = ({ user, system }: NodeJS.CpuUsage) => (user + system) / 1000;
  return {
    at: performance.now(),
    thread: milliseconds(process.threadCpuUsage()),
    process: milliseconds(process.cpuUsage()),
  };
}
