import type { ObservationTable } from './schema.ts';
import type { UidClaim } from './uids.ts';

/**
 * Rows of one table, encoded as RowBinary. The encoder makes blocks and the inserter sends them. The offsets let the inserter split a block
 * at any row, so that it can find a row that ClickHouse rejects by bisection.
 */
export interface RowBlock {
  readonly table: ObservationTable;
  readonly rows: number;
  readonly bytes: Buffer;
  /** Byte at which row i starts; `offsets[rows]` is the length of `bytes`. */
  readonly offsets: Uint32Array;
  /** Index in `measurements` of the measurement that row i belongs to. */
  readonly owners: Uint32Array;
  readonly measurements: readonly MeasurementRef[];
}

/** The source of a measurement, so that a person can find the measurement of a failure record. */
export interface MeasurementRef {
  readonly uid: string;
  readonly key: string;
  /** 1-based position in the object: the line of a JSONL file, the member of a tar. */
  readonly line: number;
  readonly testName: string;
  /** Present if the document contains its uid. */
  readonly claim?: UidClaim;
}
