import { recordSpan } from '../spans.ts';
import type { BatchWatch } from './batch.ts';

/**
 * Spans `fetch` and `transform` of a part of a batch, which ends with a flush. Reading and transforming alternate many times within a part,
 * so both spans cover the whole part, and `ooni.busy_seconds` says how much of it each took. The rest is waiting for the flush before.
 */
export class PartSpans {
  readonly #onStage: BatchWatch['onStage'];
  #start = Date.now();
  #fetch = 0;
  #transform = 0;
  #mark = 0;
  /** Whether the archive has not answered yet. */
  #isFetching = false;
  /** Milliseconds of this part that the listener knows. */
  #reported = { fetch: 0, transform: 0 };

  constructor(onStage?: BatchWatch['onStage']) {
    this.#onStage = onStage;
  }

  /** Waits for the archive, and counts the time. */
  async fetching<T>(documents: Promise<T>): Promise<T> {
    this.#mark = performance.now();
    this.#isFetching = true;
    try {
      return await documents;
    } finally {
      this.#isFetching = false;
      this.#fetch += performance.now() - this.#mark;
      this.#mark = performance.now();
    }
  }

  /** Counts the time since the archive answered as transformation. */
  transformed(): void {
    const now = performance.now();
    this.#transform += now - this.#mark;
    this.#mark = now;
  }

  /** Reports the time since the last report. A wait for the archive counts before it ends, so that an archive that hangs is seen. */
  report(): void {
    const fetch = this.#fetch + (this.#isFetching ? performance.now() - this.#mark : 0);
    this.#onStage?.('fetch', (fetch - this.#reported.fetch) / 1000);
    this.#onStage?.('transform', (this.#transform - this.#reported.transform) / 1000);
    this.#reported = { fetch, transform: this.#transform };
  }

  /** Records the spans of the part, and begins the next part when `flushing` has ended. */
  async flush(
    totals: { readonly files: number; readonly bytes: number; readonly read: number },
    flushing: () => Promise<void>,
  ) {
    this.transformed();
    const end = Date.now();
    const soFar = { 'ooni.files': totals.files, 'ooni.bytes': totals.bytes, 'ooni.measurements': totals.read };
    recordSpan('fetch', this.#start, end, { ...soFar, 'ooni.busy_seconds': this.#fetch / 1000 });
    recordSpan('transform', this.#start, end, { ...soFar, 'ooni.busy_seconds': this.#transform / 1000 });
    this.report();
    await flushing();
    this.#start = Date.now();
    this.#fetch = 0;
    this.#transform = 0;
    this.#reported = { fetch: 0, transform: 0 };
    this.#mark = performance.now();
  }
}
