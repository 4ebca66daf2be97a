import type { Logger } from 'pino';
import { type Clock, systemClock } from './clock.ts';
import { createMetrics, type Metrics } from './metrics.ts';

/** Dependencies of every part of the library: a clock, a log and metrics. */
export interface Instruments {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Returns the instruments with a log: the clock of the system and new metrics unless given. */
export function createInstruments(options: { log: Logger; clock?: Clock; metrics?: Metrics }): Instruments {
  return { clock: options.clock ?? systemClock, log: options.log, metrics: options.metrics ?? createMetrics() };
}
