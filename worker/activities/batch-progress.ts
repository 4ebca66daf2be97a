import { type Counts, noCounts } from '../../pipeline/counts.ts';
import type { BatchStage } from '../../pipeline/runs/batch.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';

/** Milliseconds between two lines about a batch in progress. Most batches end before the first one. */
const INTERVAL = 60_000;

const NONE: Readonly<Record<BatchStage, number>> = { fetch: 0, unpack: 0, transform: 0, insert: 0 };

/** Logs every minute how far a batch has come and what it waited for, so that a slow system shows in the log. */
export class BatchProgress {
  readonly #files: number;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #counts: Counts = noCounts();
  #seconds = { ...NONE };

  /** @param files number of objects of the batch */
  constructor(files: number, log: Logger) {
    this.#files = files;
    this.#log = log;
    this.#timer = setInterval(() => this.#write(), INTERVAL);
  }

  reached(counts: Counts): void {
    this.#counts = counts;
  }

  took(stage: BatchStage, seconds: number): void {
    this.#seconds[stage] += seconds;
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #write(): void {
    const { files, read, bytes } = this.#counts;
    const { fetch, unpack, transform } = this.#seconds;
    const work = unpack + transform;
    const all = INTERVAL / 1000;
    const whole = (seconds: number) => Math.min(all, Math.max(0, Math.round(seconds)));
    this.#log.info(
      { files, read, bytes },
      `batch in progress: ${files} of ${this.#files} objects; the last ${all} s: ${whole(fetch)} s waiting for the archive, ${whole(work)} s unpacking and transforming, ${whole(all - fetch - work)} s waiting for ClickHouse or a processor`,
    );
    this.#seconds = { ...NONE };
  }
}
