import { ClickHouseUnavailableError } from '../../pipeline/tables/errors.ts';
import type { Wait } from './waits.ts';

/** Milliseconds between two probes. */
const INTERVAL = 15_000;
/** Milliseconds without an answer after which activities give back their slots. A restart of a server takes less. */
const HOLD = 120_000;

/**
 * Watches whether ClickHouse answers while activities run. A hung server keeps a statement open for its timeout of 30 minutes, and with it
 * the slot of an activity. After two minutes without an answer the watch stops the activities with an error that is retried.
 */
export class ClickHouseWatch {
  readonly #probe: () => Promise<void>;
  readonly #monotonic: () => number;
  /** Monotonic time of the first failed probe; undefined while ClickHouse answers. */
  #since: number | undefined;
  #message = '';
  #stop = new AbortController();
  #active = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `probe` rejects when ClickHouse does not answer within seconds. */
  constructor(probe: () => Promise<void>, monotonic = () => performance.now()) {
    this.#probe = probe;
    this.#monotonic = monotonic;
  }

  /** Cause of a wait for ClickHouse, for the heartbeats; undefined while it answers. */
  get waitsFor(): Wait | undefined {
    return this.#since === undefined ? undefined : { reason: 'ClickHouseUnavailable', message: this.#message };
  }

  /**
   * Runs the work of an activity with a signal that aborts after two minutes without an answer. Throws at once when ClickHouse has not
   * answered for longer, so that the activity does not take a slot for nothing.
   */
  async during<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#stop.signal.throwIfAborted();
    this.#active++;
    this.#timer ??= setInterval(() => void this.check(), INTERVAL).unref();
    try {
      return await work(this.#stop.signal);
    } finally {
      this.#active--;
      // While ClickHouse is away the probes continue, because they decide when activities may start again.
      if (this.#active === 0 && this.#since === undefined) this.#rest();
    }
  }

  /** Probes once. */
  async check(): Promise<void> {
    const started = this.#monotonic();
    try {
      await this.#probe();
      this.#since = undefined;
      if (this.#stop.signal.aborted) this.#stop = new AbortController();
      if (this.#active === 0) this.#rest();
    } catch (error) {
      this.#message = (error as Error).message;
      this.#since ??= started;
      if (this.#monotonic() - this.#since < HOLD || this.#stop.signal.aborted) return;
      const seconds = HOLD / 1000;
      this.#stop.abort(new ClickHouseUnavailableError(`no answer for ${seconds} s: ${this.#message}`));
    }
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
