import { type Palette, PLAIN, paletteFor } from './colour.ts';
import { Output, type OutputStream } from './output.ts';
import { printableLine } from './printable.ts';
import { beginningOf, endOf, widthOf } from './width.ts';
import { wrap } from './wrap.ts';

/** A column of a table: its title, and the text of a row. */
export interface Column<Row> {
  readonly title: string;
  readonly text: (row: Row) => string;
  /** Aligns figures at the right. */
  readonly right?: boolean;
  /**
   * Is cut first when the table is wider than the terminal: at the end, or in the middle, for names that differ at their ends. At most one
   * column. A last one that is cut at the end moves below its row when too little of it would be left.
   */
  readonly flexible?: boolean | 'middle';
  /** Is left out when the table is wider than the terminal without the flexible column. */
  readonly optional?: boolean;
  readonly paint?: (row: Row, palette: Palette) => (text: string) => string;
}

/** Least width to which a column is cut. */
const LEAST = 12;
/** Least width of a text in the last column, and its indentation and most lines below its row. */
const LEAST_TEXT = 24;
const INDENT = '    ';
const LINES = 4;

/**
 * Lays out rows as lines of a table, with the titles above. Cells are one line each and show control characters. If `width` is given and the
 * table is wider, optional columns are left out, the flexible column is cut, and then the widest ones, which `…` shows.
 */
export function layOut<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { palette = PLAIN, width }: { readonly palette?: Palette; readonly width?: number } = {},
): string[] {
  const all = columns.map(column => measure(column, rows));
  const { beside, below } = width === undefined ? { beside: all, below: undefined } : fitting(all, width);
  const widths = beside.map(({ natural }) => natural);
  if (width !== undefined) {
    const flexible = beside.findIndex(({ column }) => column.flexible);
    narrow(widths, width - 2 * (widths.length - 1), flexible);
  }
  const place = ({ right, flexible }: Column<Row>, text: string, at: number, paint: (text: string) => string) => {
    const room = widths[at] ?? 0;
    const cut = widthOf(text) > room ? shortened(text, room, flexible === 'middle') : text;
    const blanks = ' '.repeat(Math.max(0, room - widthOf(cut)));
    if (right) return blanks + paint(cut);
    return at === beside.length - 1 ? paint(cut) : paint(cut) + blanks;
  };
  const head = beside.map(({ column }, at) => place(column, column.title, at, palette.faint)).join('  ');
  const body = rows.flatMap((row, index) => [
    beside
      .map(({ column, cells }, at) =>
        place(column, cells[index] ?? '', at, column.paint?.(row, palette) ?? (text => text)),
      )
      .join('  '),
    ...(below ? linesBelow(below.cells[index] ?? '', width ?? 0) : []),
  ]);
  return [head, ...body].map(line => line.trimEnd());
}

/** A column with its cells, one line each, and the width of the widest of them and the title. */
interface Measured<Row> {
  readonly column: Column<Row>;
  readonly cells: readonly string[];
  readonly natural: number;
}

function measure<Row>(column: Column<Row>, rows: readonly Row[]): Measured<Row> {
  const cells = rows.map(row => printableLine(column.text(row)));
  return { column, cells, natural: Math.max(widthOf(column.title), ...cells.map(widthOf)) };
}

/** Columns of a table that is not wider than a terminal, or as few of them as possible, and the one whose texts are shown below the rows. */
interface Fitting<Row> {
  readonly beside: readonly Measured<Row>[];
  readonly below: Measured<Row> | undefined;
}

function fitting<Row>(all: readonly Measured<Row>[], width: number): Fitting<Row> {
  const total = (columns: readonly Measured<Row>[]) =>
    columns.reduce((sum, { natural }) => sum + natural, 2 * (columns.length - 1));
  const last = all.at(-1);
  const rest = last?.column.flexible === true ? all.slice(0, -1) : all;
  const beside = total(rest) <= width ? rest : rest.filter(({ column }) => !column.optional);
  if (!last || rest === all) return { beside, below: undefined };
  const isBeside = total(beside) + 2 + Math.min(last.natural, LEAST_TEXT) <= width;
  return isBeside ? { beside: [...beside, last], below: undefined } : { beside, below: last };
}

/** Returns a text as lines below its row; the last line of a long one ends with `…`. */
function linesBelow(text: string, width: number): string[] {
  if (text === '') return [];
  const room = Math.max(LEAST, width - INDENT.length);
  const lines = wrap(text, room);
  const shown = lines.slice(0, LINES);
  if (lines.length > LINES) shown[LINES - 1] = `${beginningOf(shown[LINES - 1]!, room - 1)}…`;
  return shown.map(line => INDENT + line);
}

/** Reduces widths until their sum is at most `room`: first the one at `flexible`, then always the widest one, each to LEAST at most. */
function narrow(widths: number[], room: number, flexible: number): void {
  const excess = () => widths.reduce((sum, each) => sum + each, 0) - room;
  if (flexible >= 0)
    widths[flexible] = Math.max(Math.min(LEAST, widths[flexible]!), widths[flexible]! - Math.max(0, excess()));
  for (let widest = Math.max(...widths); excess() > 0 && widest > LEAST; widest = Math.max(...widths)) {
    widths[widths.indexOf(widest)] = widest - 1;
  }
}

/** Cuts a text of more than `room` columns, at the end or in the middle. */
function shortened(text: string, room: number, inTheMiddle: boolean): string {
  const tail = inTheMiddle ? Math.floor((room - 1) / 2) : 0;
  return `${beginningOf(text, room - 1 - tail)}…${endOf(text, tail)}`;
}

/** Forms of a command that prints a table. */
export type TableForm = 'table' | 'json';

/**
 * Prints rows: a table on a terminal or with `-o table`; with `-o json`, and where the output is not a terminal, one JSON document a row.
 * `none` is printed on standard error if there are no rows.
 */
export async function printRows<Row extends object>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { form, none, stream = process.stdout }: { form?: TableForm; none: string; stream?: OutputStream },
): Promise<void> {
  const chosen = form ?? (stream.isTTY ? 'table' : 'json');
  if (rows.length === 0) console.error(none);
  if (chosen === 'json') {
    const output = new Output(stream, 'json');
    for (const row of rows) await output.write(`${JSON.stringify(row)}\n`);
    return;
  }
  if (rows.length === 0) return;
  const lines = layOut(columns, rows, {
    palette: paletteFor(stream),
    ...(stream.isTTY && stream.columns && { width: stream.columns }),
  });
  await new Output(stream, 'laidOut').write(`${lines.join('\n')}\n`);
}
