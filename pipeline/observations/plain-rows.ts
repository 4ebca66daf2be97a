import type { RowBlock } from '../tables/block.ts';
import type { RowEncoder } from '../tables/encoder.ts';
import { type RowValue, readRows } from '../tables/rowbinary-reader.ts';
import { OBSERVATION_TABLES, type ObservationTable } from '../tables/schema.ts';

/** A row in readable form. */
export type PlainRow = Record<
  string,
  string | number | readonly string[] | readonly number[] | { readonly base64: string }
>;

/** Columns that depend on the time or the run. They differ every time, so they are omitted. */
const OF_THE_RUN = new Set(['created_at', 'run_generation']);
/** Columns with bytes from the network, which may not be text. */
const BYTES = /^hirl_(sent|received)_\d$/;

/**
 * Takes the waiting rows from an encoder and returns them as plain objects by table. Null columns and tables without rows are
 * omitted; times are `YYYY-MM-DD hh:mm:ss.mmm`, bytes are `{base64}`. The rows are decoded from the encoded bytes, so they show
 * what ClickHouse receives.
 */
export function takePlainRows(encoder: RowEncoder): Partial<Record<ObservationTable, PlainRow[]>> {
  const tables: Partial<Record<ObservationTable, PlainRow[]>> = {};
  for (const { name } of OBSERVATION_TABLES) {
    const block = encoder.take(name);
    if (block) tables[name] = plainRows(block);
  }
  return tables;
}

/** Returns the rows of a block as plain objects. */
export function plainRows(block: RowBlock): PlainRow[] {
  const table = OBSERVATION_TABLES.find(({ name }) => name === block.table)!;
  const types = new Map<string, string>(table.columns);
  return Array.from(readRows(table, block.bytes), values => {
    const row: PlainRow = {};
    for (const [name, value] of values) {
      if (value !== null && !OF_THE_RUN.has(name)) row[name] = plainValue(name, types.get(name)!, value);
    }
    return row;
  });
}

function plainValue(name: string, type: string, value: Exclude<RowValue, null>): PlainRow[string] {
  if (Array.isArray(value)) return type === 'Array(String)' ? value.map(String) : value.map(Number);
  if (typeof value === 'number') {
    return type.includes('DateTime64') ? new Date(value).toISOString().replace('T', ' ').slice(0, -1) : value;
  }
  if (BYTES.test(name)) return { base64: value.toString('base64') };
  return type.startsWith('FixedString') ? value.toString().replace(/\0+$/, '') : value.toString();
}
