import type { ObservationTable } from './schema.ts';
import type { UidClaim } from './uids.ts';

/**
 * Rows of one table, encoded as RowBinary: what the encoder hands to the inserter. The offsets let the inserter cut the
 * block at any row, which is how a row that ClickHouse refuses is found by bisection.
 */
export interface RowBlock {
  readonly table: ObservationTable;
  readonly rows: number;
  readonly bytes: Buffer;
  /** Byte at which row i starts; `offsets[rows]` is the length of `bytes`. */
  readonly offsets: Uint32Array;
  /** Which measurement (of those named in `measurements`) row i belongs to. */
  readonly owners: Uint32Array;
  readonly measurements: readonly MeasurementRef[];
}

/** Where a measurement came from, for a failure record that a person can follow. */
export interface MeasurementRef {
  readonly uid: string;
  readonly key: string;
  /** 1-based position in the object: the line of a JSONL file, the member of a tar. */
  readonly line: number;
  readonly testName: string;
  /** Present when the document itself says its uid. */
  readonly claim?: UidClaim;
}
