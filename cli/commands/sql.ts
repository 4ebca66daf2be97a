import { text } from 'node:stream/consumers';
import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import { Command, Option } from 'commander';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { attempt } from '../attempt.ts';
import { openClickHouse } from '../clickhouse.ts';
import { type CommonOptions, checkClickHouse, clickhouseOption } from '../options.ts';
import { Output } from '../output.ts';

/** What `-o` says, and the format ClickHouse is asked for. */
const FORMATS = {
  table: 'JSONCompactEachRowWithNames',
  json: 'JSONEachRow',
  csv: 'CSVWithNames',
  tsv: 'TabSeparatedWithNames',
} as const;
type Form = keyof typeof FORMATS;

/** A table is laid out as a whole, and nobody reads a longer one. */
const TABLE_ROWS = 1000;

interface Options extends CommonOptions {
  readonly output?: Form;
}

/** Where the answer goes; a terminal knows its width. */
export type SqlOutput = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

/** `oonipipeline sql`: one statement to the ClickHouse of the pipeline. */
export function sqlCommand(): Command {
  return new Command('sql')
    .description('Ask ClickHouse, and show the answer')
    .argument('<statement>', 'one statement of SQL, or - for standard input')
    .addOption(clickhouseOption())
    .addOption(
      new Option('-o, --output <form>', 'form of the answer; on a terminal table, elsewhere tsv, unless given').choices(
        Object.keys(FORMATS),
      ),
    )
    .addHelpText(
      'after',
      `
-o json prints one JSON document a row. A statement that ends with FORMAT something is printed as it says.

Exit status: 0 done; 1 ClickHouse refuses, or does not answer; 2 wrong usage.

  oonipipeline sql 'SELECT test_name, count() FROM obs_web GROUP BY 1 ORDER BY 2 DESC' --clickhouse embedded:data
  oonipipeline sql - -o csv --clickhouse embedded:data < question.sql`,
    )
    .action((statement: string, options: Options, command: Command) => {
      checkClickHouse(command, options);
      return attempt('sql', async () => {
        const sql = statement === '-' ? await text(process.stdin) : statement;
        if (sql.trim() === '') command.error('error: the statement is empty');
        const form = options.output ?? (process.stdout.isTTY ? 'table' : 'tsv');
        const { clickhouse, close } = await openClickHouse(options.clickhouse);
        try {
          await ask(clickhouse, sql, form, process.stdout);
        } finally {
          await close();
        }
        return 0;
      });
    });
}

/** Runs a statement and writes what it gives. Throws TableErrors and OutputError. */
export async function ask(clickhouse: ClickHouse, sql: string, form: Form, output: SqlOutput): Promise<void> {
  // A table shows whole numbers to the last digit, and they are read here, as JavaScript reads numbers.
  const settings = form === 'table' ? { output_format_json_quote_64bit_integers: 1 as const } : {};
  const { format, bytes } = await clickhouse.output(withoutSemicolon(sql), FORMATS[form], { settings });
  if (form === 'table' && format === FORMATS.table) {
    const lines = (await text(bytes)).split('\n').filter(Boolean);
    if (lines.length > 0) output.write(`${layOut(lines, output)}\n`);
    return;
  }
  const answer = new Output(output);
  for await (const chunk of bytes) await answer.write(chunk);
}

/** A line of names, then one a row, each a JSON list. Rows too wide for the terminal are shown one below the other, a line a column. */
function layOut([head, ...rows]: string[], { isTTY = false, columns }: SqlOutput): string {
  const names = JSON.parse(head as string) as string[];
  const shown = rows.slice(0, TABLE_ROWS).map(row => (JSON.parse(row) as unknown[]).map(printable));
  const more = rows.length > TABLE_ROWS ? `\n${rows.length - TABLE_ROWS} more; -o csv, tsv or json shows all` : '';
  const end = `${rows.length} ${rows.length === 1 ? 'row' : 'rows'}${more}`;
  const style = isTTY && !process.env.NO_COLOR ? { head: ['bold'], border: ['gray'] } : { head: [], border: [] };
  const table = new Table({ head: names, style: { ...style, compact: true } });
  table.push(...shown);
  const drawn = table.toString();
  const width = stripVTControlCharacters(drawn.slice(0, drawn.indexOf('\n'))).length;
  if (columns === undefined || width <= columns) return `${drawn}\n${end}`;
  const longest = Math.max(...names.map(name => name.length));
  const below = shown.map((row, index) =>
    [`row ${index + 1}`, ...row.map((value, at) => `  ${names[at]?.padEnd(longest)}  ${value}`)].join('\n'),
  );
  return [...below, end].join('\n');
}

/** What a measurement says may hold anything, and a terminal obeys control characters. */
function printable(value: unknown): string {
  const shown = value === null ? 'NULL' : typeof value === 'string' ? value : JSON.stringify(value);
  return shown.replace(/(?![\n\t])\p{Cc}/gu, '\ufffd');
}

/** The HTTP interface takes one statement, which clients end with a semicolon out of habit. */
function withoutSemicolon(sql: string): string {
  return sql.replace(/[\s;]+$/, '');
}
