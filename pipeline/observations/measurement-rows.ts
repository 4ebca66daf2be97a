import { ResponseSearch } from '../measurement/response-search.ts';
import type { HttpFingerprints } from '../reference/http-fingerprints.ts';
import type { IpView } from '../reference/ip-metadata.ts';
import type { RowEncoder } from '../tables/encoder.ts';
import { compileColumns, RowBinaryWriter, sliceColumns } from '../tables/rowbinary.ts';
import {
  GENERATION_COLUMN,
  MEASUREMENT_COLUMNS,
  type ObservationTable,
  PROBE_COLUMNS,
  type Table,
} from '../tables/schema.ts';

const writeMeasurement = compileColumns(MEASUREMENT_COLUMNS);
const writeProbe = compileColumns(PROBE_COLUMNS);
const writeGeneration = compileColumns([GENERATION_COLUMN]);

/** Facts that all rows of one run share. */
export interface RunFacts {
  readonly bucket: string;
  /** `run_generation`: start of the run in milliseconds since 1970. */
  readonly generation: number;
  /** `created_at`, in milliseconds since 1970. */
  readonly createdAt: number;
  /** Fingerprints for bodies and headers; absent: the installation has none. */
  readonly httpFingerprints?: HttpFingerprints | undefined;
}

/**
 * Writes the rows of a measurement. Columns that all its rows share are encoded once, and each row copies the bytes. One object is
 * reused for all measurements.
 */
export class MeasurementRows {
  readonly encoder: RowEncoder;
  readonly run: RunFacts;
  /** Searches responses for the fingerprints; undefined without fingerprints. */
  readonly search: ResponseSearch | undefined;
  /** Encoded measurement block and probe block. Valid until the next measurement. */
  shared: Buffer = EMPTY;
  /** Encoded measurement block alone, for the table without a probe block. */
  measurement: Buffer = EMPTY;
  /** Encoded `run_generation`. */
  readonly generation: Buffer;
  ips!: IpView;
  /** Index of the last row written. The first row of a measurement has index 1. */
  index = 0;
  readonly #scratch = new RowBinaryWriter(4096);

  constructor(encoder: RowEncoder, run: RunFacts) {
    this.encoder = encoder;
    this.run = run;
    this.search = run.httpFingerprints && new ResponseSearch(run.httpFingerprints.matcher);
    writeGeneration(this.#scratch, { run_generation: run.generation });
    this.generation = this.#scratch.copy();
  }

  /** Version of the fingerprints that responses are compared with; empty without fingerprints. */
  get fingerprintsVersion(): string {
    return this.run.httpFingerprints?.version ?? '';
  }

  /** Returns the names of fingerprints. */
  fingerprintNames(indexes: readonly number[]): readonly string[] {
    return this.run.httpFingerprints?.namesOf(indexes) ?? [];
  }

  /** Starts a measurement and encodes the columns that its rows share. Throws EncodeError. */
  begin(measurement: object, probe: object, ips: IpView): void {
    this.ips = ips;
    this.index = 0;
    this.#scratch.length = 0;
    writeMeasurement(this.#scratch, measurement);
    const size = this.#scratch.length;
    writeProbe(this.#scratch, probe);
    // Not a copy: the next measurement overwrites it.
    this.shared = this.#scratch.bytes.subarray(0, this.#scratch.length);
    this.measurement = this.shared.subarray(0, size);
  }
}

const EMPTY = Buffer.alloc(0);

/**
 * Returns a function that writes a row of a table whose rows have, after the columns that all rows of a measurement share, an index and
 * columns of one test. It throws EncodeError.
 */
export function rowsOf(table: Table & { readonly name: ObservationTable }) {
  const [, own] = sliceColumns(table, ['measurement_uid', 'observation_idx']);
  const writeOwn = compileColumns(own);
  return (rows: MeasurementRows, index: number, columns: object): void => {
    const writer = rows.encoder.row(table.name);
    writer.raw(rows.shared);
    writeOwn(writer, {
      observation_idx: index,
      created_at: Math.floor(rows.run.createdAt / 1000) * 1000,
      run_generation: rows.run.generation,
      ...columns,
    });
  };
}
