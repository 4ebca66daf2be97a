import { CsvError, parse } from 'csv-parse/sync';
import { type Problem, ReferenceDataError } from './dataset.ts';

/** A record of a CSV file, by column name, and the line it ends on. */
export interface CsvRecord {
  readonly line: number;
  readonly values: Readonly<Record<string, string>>;
}

/**
 * Reads a CSV file with a header (RFC 4180: quoted fields hold commas, quotes and line breaks). A record with too few or too many fields is a
 * problem; a file that is not UTF-8, lacks one of `columns`, or has quotes that do not close is a ReferenceDataError, because where
 * the next record begins is then a guess.
 */
export function readCsv(
  name: string,
  bytes: Uint8Array,
  columns: readonly string[],
): { records: CsvRecord[]; problems: Problem[] } {
  const text = decode(name, bytes);
  let parsed: { record: string[]; info: { lines: number } }[];
  try {
    parsed = parse(text, {
      bom: true,
      info: true,
      relax_column_count: true,
      skip_empty_lines: true,
      // The lists come with \r\n, and whoever adds a line by hand may add \n: both end a record, wherever they stand.
      record_delimiter: ['\r\n', '\n'],
    }) as never;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new ReferenceDataError(`${name} is not CSV: ${error.message}. Nothing was changed.`);
  }
  const [header, ...body] = parsed;
  const names = header?.record.map(each => each.trim()) ?? [];
  const missing = columns.filter(column => !names.includes(column));
  if (missing.length > 0) {
    throw new ReferenceDataError(
      `${name} lacks the ${missing.length === 1 ? 'column' : 'columns'} ${missing.join(', ')}; its first line is "${names.join(',').slice(0, 120)}". Nothing was changed.`,
    );
  }
  const records: CsvRecord[] = [];
  const problems: Problem[] = [];
  for (const { record, info } of body) {
    if (record.length !== names.length) {
      problems.push({
        where: `${name} line ${info.lines}`,
        what: `${record.length} fields where ${names.length} belong`,
      });
      continue;
    }
    records.push({
      line: info.lines,
      values: Object.fromEntries(names.map((column, index) => [column, record[index] as string])),
    });
  }
  return { records, problems };
}

function decode(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new ReferenceDataError(`${name} is not UTF-8 text. Nothing was changed.`);
  }
}
