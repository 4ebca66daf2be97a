import type { IpView } from '../reference/ip-metadata.ts';
import type { RowEncoder } from '../tables/encoder.ts';
import { compileColumns, RowBinaryWriter } from '../tables/rowbinary.ts';
import { GENERATION_COLUMN, MEASUREMENT_COLUMNS, PROBE_COLUMNS } from '../tables/schema.ts';

const writeMeasurement = compileColumns(MEASUREMENT_COLUMNS);
const writeProbe = compileColumns(PROBE_COLUMNS);
const writeGeneration = compileColumns([GENERATION_COLUMN]);

/** What the rows of one run have in common. */
export interface RunFacts {
  readonly bucket: string;
  /** `run_generation`: start of the run in milliseconds since 1970. */
  readonly generation: number;
  /** `created_at`, in milliseconds since 1970. */
  readonly createdAt: number;
}

/**
 * Where a measurement's rows go. The columns that all its rows share are encoded once, as bytes that each row copies. One object
 * serves measurement after measurement.
 */
export class MeasurementRows {
  readonly encoder: RowEncoder;
  readonly run: RunFacts;
  /** Measurement and probe block, encoded. */
  shared: Buffer = EMPTY;
  /** Measurement block alone, for the table that has no probe block. */
  measurement: Buffer = EMPTY;
  /** `run_generation`, encoded. */
  readonly generation: Buffer;
  ips!: IpView;
  /** Index of the row written last; the first one of a measurement is 1. */
  index = 0;
  private readonly scratch = new RowBinaryWriter(4096);

  constructor(encoder: RowEncoder, run: RunFacts) {
    this.encoder = encoder;
    this.run = run;
    writeGeneration(this.scratch, { run_generation: run.generation });
    this.generation = this.scratch.copy();
  }

  /** Starts a measurement: encodes what its rows share. Throws EncodeError. */
  begin(measurement: object, probe: object, ips: IpView): void {
    this.ips = ips;
    this.index = 0;
    this.scratch.length = 0;
    writeMeasurement(this.scratch, measurement);
    const size = this.scratch.length;
    writeProbe(this.scratch, probe);
    this.shared = this.scratch.copy();
    this.measurement = this.shared.subarray(0, size);
  }
}

const EMPTY = Buffer.alloc(0);
