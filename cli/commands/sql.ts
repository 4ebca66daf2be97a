import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import { Command, Option } from 'commander';
import { endOfStatement, statementKind } from '../../clickhouse/statement.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { StatementError } from '../../pipeline/tables/errors.ts';
import { openClickHouse } from '../clickhouse.ts';
import { PLAIN, paletteFor } from '../colour.ts';
import { withExitStatus } from '../exit-status.ts';
import { type CommonOptions, checkClickHouse, clickhouseOption } from '../options.ts';
import { Output, OutputError, type OutputStream } from '../output.ts';
import { printable } from '../printable.ts';
import { columnsOf } from '../width.ts';

/** Values of `-o`, and the ClickHouse format for each. */
const FORMATS = {
  table: 'JSONCompactEachRowWithNames',
  json: 'JSONEachRow',
  csv: 'CSVWithNames',
  tsv: 'TabSeparatedWithNames',
} as const;
type Form = keyof typeof FORMATS;

/** A table needs all its rows for its layout, so no more rows or bytes than these are read. */
const TABLE_ROWS = 1000;
const TABLE_BYTES = 16 * 1024 * 1024;

/** Statements that change data or server settings. ClickHouse's own read-only mode allows some of them. */
const WRITES = new Set(
  (
    'ALTER ATTACH BACKUP BEGIN COMMIT CREATE DELETE DETACH DROP EXCHANGE EXECUTE GRANT INSERT KILL MOVE OPTIMIZE RENAME REPLACE RESTORE REVOKE ' +
    'ROLLBACK SYSTEM TRUNCATE UNDROP UPDATE'
  ).split(' '),
);
/** ClickHouse's error code for a statement that its read-only mode rejects. */
const READONLY = 164;

interface Options extends CommonOptions {
  readonly output?: Form;
  readonly write?: boolean;
}

/** Creates `oonipipeline sql`, which runs one statement in the ClickHouse of the pipeline. */
export function sqlCommand(): Command {
  const sql = new Command('sql')
    .argument('<statement>', 'one statement of SQL, or - for standard input')
    .addOption(clickhouseOption())
    .addOption(
      new Option('-o, --output <form>', 'form of the result; table on a terminal, tsv elsewhere, unless given').choices(
        Object.keys(FORMATS),
      ),
    )
    .option('--write', 'allow a statement that changes data; without this option it is rejected')
    .addHelpText(
      'after',
      `
-o json prints one JSON document a row. A statement that ends with FORMAT something is printed in that format. Results are passed on as
they come; a table shows the first ${TABLE_ROWS.toLocaleString('en')} rows. On a terminal, control characters in the data are shown as \\x1b; in a file or a pipe they
are as ClickHouse gives them.

Rows that --write changes are unknown to the ledger of the pipeline: runs do not replace them, and verify may miss them.

Exit status: 0 done; 1 ClickHouse rejects the statement, or does not answer; 2 wrong usage.

  oonipipeline sql 'SELECT test_name, count() FROM obs_web GROUP BY 1 ORDER BY 2 DESC' --clickhouse embedded:data
  oonipipeline sql - -o csv --clickhouse embedded:data < question.sql`,
    )
    .action((given: string, options: Options, command: Command) => {
      checkClickHouse(command, options);
      return withExitStatus('sql', async () => {
        const statement = oneStatement(command, given === '-' ? await readStatement(process.stdin) : given, options);
        const form = options.output ?? (process.stdout.isTTY ? 'table' : 'tsv');
        const { clickhouse, close } = await openClickHouse(options.clickhouse);
        try {
          await ask(clickhouse, statement, form, process.stdout, options);
        } finally {
          await close();
        }
        return 0;
      });
    });
  return takeComments(sql);
}

/** Longest statement that is read from standard input, in bytes. */
const MAX_STATEMENT = 64 * 1024 * 1024;

/** Reads a statement. Throws StatementError if it is too long. */
async function readStatement(input: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_STATEMENT) {
      throw new StatementError(
        `the statement on standard input is longer than ${MAX_STATEMENT / 2 ** 20} MiB; send rows with a client of ClickHouse`,
      );
    }
  }
  return Buffer.concat(chunks).toString();
}

/** Accepts a statement that begins with a comment such as `-- so`, which is not an option. A blank before it changes nothing for ClickHouse. */
function takeComments(command: Command): Command {
  const parse = command.parseOptions.bind(command);
  command.parseOptions = args => parse(args.map(arg => (/^--\s|^--[^\n]*\n/.test(arg) ? ` ${arg}` : arg)));
  return command;
}

/**
 * Returns the only statement of a text, without the semicolon after it. Ends the program with status 2 if the text has no statement,
 * several, or one that may not run.
 */
function oneStatement(command: Command, given: string, { write }: Options): string {
  const { end, next } = endOfStatement(given);
  if (next !== undefined) {
    command.error('error: these are several statements, and none was run; give one at a time');
  }
  const statement = given.slice(0, end);
  const kind = statementKind(statement);
  if (kind === '') command.error('error: the statement is empty');
  if (WRITES.has(kind) && !write) command.error(`error: ${kind} changes data and was not run; give --write to run it`);
  return statement;
}

/**
 * Runs a statement and writes the result as it arrives. If the reader leaves, the statement ends. A statement that changes data is rejected
 * unless `write` is set. Throws TableErrors and OutputError.
 */
export async function ask(
  clickhouse: ClickHouse,
  sql: string,
  form: Form,
  output: OutputStream,
  { write = false }: Pick<Options, 'write'> = {},
): Promise<void> {
  const settings = { ...(write ? {} : { readonly: '2' as const }), ...(form === 'table' ? TABLE_SETTINGS : {}) };
  try {
    const { format, bytes } = await clickhouse.output(sql, FORMATS[form], { settings });
    if (form === 'table' && format === FORMATS.table) await showTable(bytes, output);
    else await passOn(bytes, new Output(output, format.startsWith('JSON') ? 'json' : 'text'));
  } catch (error) {
    if (!(error instanceof StatementError) || error.code !== READONLY) throw error;
    throw new StatementError(`${error.message}; give --write to run a statement that changes data`, { cause: error });
  }
}

/** A table shows numbers to the last digit, but this program parses them as JavaScript numbers. ClickHouse therefore quotes them. */
const TABLE_SETTINGS = {
  output_format_json_quote_64bit_integers: 1,
  output_format_json_quote_decimals: 1,
  output_format_json_quote_denormals: 1,
} as const;

async function passOn(bytes: AsyncIterable<Buffer>, output: Output): Promise<void> {
  for await (const chunk of bytes) {
    await output.write(chunk);
    if (output.closed) return;
  }
}

/** Shows the first rows of a result (JSON lines, the names first), then stops reading. */
async function showTable(bytes: AsyncIterable<Buffer>, output: OutputStream): Promise<void> {
  const lines: string[] = [];
  let size = 0;
  for await (const line of linesOf(bytes)) {
    size += line.length;
    lines.push(line);
    if (lines.length > TABLE_ROWS + 1 || size > TABLE_BYTES) break;
  }
  const isMore = lines.length > TABLE_ROWS + 1 || size > TABLE_BYTES;
  if (lines.length > 0) await new Output(output, 'laidOut').write(`${layOut(lines, isMore, output)}\n`);
}

/** Yields the lines that are not empty. Throws OutputError for a line that is too long to show. */
async function* linesOf(bytes: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let held = 0;
  for await (const chunk of bytes) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...parts, chunk.subarray(from, end)]).toString();
      [parts, held, from] = [[], 0, end + 1];
      if (line !== '') yield line;
    }
    parts.push(chunk.subarray(from));
    held += chunk.length - from;
    if (held > TABLE_BYTES) {
      throw new OutputError(
        `a row is longer than ${TABLE_BYTES / 2 ** 20} MiB, too long for a table; give -o tsv, csv or json`,
      );
    }
  }
  if (held > 0) yield Buffer.concat(parts).toString();
}

/**
 * Formats a line of names and one line per row, each a JSON list. If the rows are too wide for the terminal, each row is shown below the
 * previous one, with one line per column.
 */
function layOut([head, ...rows]: string[], isMore: boolean, output: OutputStream): string {
  const columns = columnsOf(output);
  const names = (JSON.parse(head as string) as string[]).map(cell);
  const shown = rows.slice(0, isMore ? -1 : undefined).map(row => (JSON.parse(row) as unknown[]).map(cell));
  const count = `${shown.length.toLocaleString('en')} ${shown.length === 1 ? 'row' : 'rows'}`;
  const end = isMore ? `The first ${count}; there are more. -o csv, tsv or json prints all.` : count;
  const style = paletteFor(output) !== PLAIN ? { head: ['bold'], border: ['gray'] } : { head: [], border: [] };
  const table = new Table({ head: names, style: { ...style, compact: true } });
  table.push(...shown);
  const drawn = table.toString();
  const width = stripVTControlCharacters(drawn.slice(0, drawn.indexOf('\n'))).length;
  if (columns === undefined || width <= columns) return `${drawn}\n${end}`;
  const longest = Math.max(...names.map(name => name.length));
  const below = shown.map((row, index) =>
    [
      `row ${index + 1}`,
      ...row.map(
        (value, at) => `  ${names[at]?.padEnd(longest)}  ${value.replaceAll('\n', `\n${' '.repeat(longest + 4)}`)}`,
      ),
    ].join('\n'),
  );
  return [...below, end].join('\n');
}

/** Formats a value as a cell. Control characters in it are made visible. */
function cell(value: unknown): string {
  return printable(value === null ? 'NULL' : typeof value === 'string' ? value : JSON.stringify(value));
}
