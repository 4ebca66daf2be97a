import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { type Counts, noCounts } from '../pipeline/counts.ts';

/** Metrics of a worker, for Prometheus. */
export class WorkerMetrics {
  readonly registry = new Registry();
  readonly runs = this.#counter('ooni_runs_total', 'Stages of runs that ended, by stage and state', ['stage', 'state']);
  readonly insertRetries = this.#counter('ooni_insert_retries_total', 'INSERTs that were tried again');
  readonly #measurements = this.#counter('ooni_measurements_total', 'Measurements stored or accounted for, by status', [
    'status',
  ]);
  readonly #rows = this.#counter('ooni_rows_total', 'Rows inserted, by table', ['table']);
  readonly #files = this.#counter('ooni_archive_files_total', 'Objects of the archive read to their end');
  readonly #bytes = this.#counter('ooni_archive_bytes_total', 'Compressed bytes read');
  readonly #batches = new Gauge({
    name: 'ooni_batches_active',
    help: 'Batches being worked on',
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** Counts what a batch reaches, checkpoint by checkpoint; what an earlier attempt had done was counted by its worker. */
  watchBatch(resumed: Counts = noCounts()): { reached(counts: Counts): void; end(): void } {
    let before = resumed;
    this.#batches.inc();
    return {
      reached: counts => {
        for (const status of ['transformed', 'skipped', 'failed', 'unsupported'] as const) {
          this.#measurements.inc({ status }, Math.max(0, counts[status] - before[status]));
        }
        for (const [table, rows] of Object.entries(counts.rows)) {
          this.#rows.inc({ table }, Math.max(0, rows - (before.rows[table] ?? 0)));
        }
        this.#files.inc(counts.files - before.files);
        this.#bytes.inc(counts.bytes - before.bytes);
        before = counts;
      },
      end: () => this.#batches.dec(),
    };
  }

  #counter<const Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Counter<Label> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }
}
