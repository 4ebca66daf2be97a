import type { Logger } from 'pino';
import { type Clock, systemClock } from './clock.ts';
import { createMetrics, type Metrics } from './metrics.ts';

/** What every part of the library is given: time, a place to write to, and counters. */
export interface Instruments {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export function createInstruments(options: { log: Logger; clock?: Clock; metrics?: Metrics }): Instruments {
  return { clock: options.clock ?? systemClock, log: options.log, metrics: options.metrics ?? createMetrics() };
}
