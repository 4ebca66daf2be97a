import type { ArchiveWaits } from '../archive/archive-waits.ts';
import { recordSpan } from '../telemetry/spans.ts';
import type { BatchStage, BatchWatch } from './batch.ts';

/** Stages of a part, in milliseconds. */
type PartTimes = Record<Exclude<BatchStage, 'insert'>, number>;

const NOTHING: PartTimes = { fetch: 0, unpack: 0, transform: 0 };

/**
 * Spans `fetch`, `unpack` and `transform` of a part of a batch, which ends with a flush. The three alternate many times within a part, so all
 * spans cover the whole part, and `ooni.busy_seconds` says how much of it each took. The rest is waiting for the flush before.
 */
export class PartSpans {
  readonly #waits: ArchiveWaits;
  readonly #onStage: BatchWatch['onStage'];
  #start = Date.now();
  /** Milliseconds that the batch had waited for the archive when the part began. */
  #waitedBefore: number;
  #unpack = 0;
  #transform = 0;
  /** Where the work that is counted next begins. */
  #mark: { readonly at: number; readonly waited: number };
  /** Milliseconds of this part that the listener knows. */
  #reported = NOTHING;

  constructor(waits: ArchiveWaits, onStage?: BatchWatch['onStage']) {
    this.#waits = waits;
    this.#waitedBefore = waits.milliseconds;
    this.#mark = { at: performance.now(), waited: waits.milliseconds };
    this.#onStage = onStage;
  }

  /** Waits for documents, and counts the time without waits for the archive as unpacking. */
  async unpacking<T>(documents: Promise<T>): Promise<T> {
    this.#work();
    try {
      return await documents;
    } finally {
      this.#unpack += this.#work();
    }
  }

  /** Counts the time since the documents came, without waits for the archive, as transformation. */
  transformed(): void {
    this.#transform += this.#work();
  }

  /** Reports the time since the last report. A wait for the archive counts before it ends, so that an archive that hangs is seen. */
  report(): void {
    const times = this.#times();
    for (const stage of ['fetch', 'unpack', 'transform'] as const) {
      this.#onStage?.(stage, (times[stage] - this.#reported[stage]) / 1000);
    }
    this.#reported = times;
  }

  /** Records the spans of the part, and begins the next part when `flushing` has ended. */
  async flush(
    totals: { readonly files: number; readonly bytes: number; readonly read: number },
    flushing: () => Promise<void>,
  ) {
    this.transformed();
    const end = Date.now();
    const soFar = { 'ooni.files': totals.files, 'ooni.bytes': totals.bytes, 'ooni.measurements': totals.read };
    for (const [stage, milliseconds] of Object.entries(this.#times())) {
      recordSpan(stage, this.#start, end, { ...soFar, 'ooni.busy_seconds': milliseconds / 1000 });
    }
    this.report();
    await flushing();
    this.#start = Date.now();
    this.#waitedBefore = this.#waits.milliseconds;
    this.#unpack = 0;
    this.#transform = 0;
    this.#reported = NOTHING;
    this.#work();
  }

  /** Returns the milliseconds since the last call, without waits for the archive. */
  #work(): number {
    const { at, waited } = this.#mark;
    this.#mark = { at: performance.now(), waited: this.#waits.milliseconds };
    return Math.max(0, this.#mark.at - at - (this.#mark.waited - waited));
  }

  #times(): PartTimes {
    return {
      fetch: this.#waits.milliseconds - this.#waitedBefore,
      unpack: this.#unpack,
      transform: this.#transform,
    };
  }
}
