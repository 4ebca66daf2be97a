import { stripVTControlCharacters } from 'node:util';
import { type Palette, PLAIN, paletteFor } from './colour.ts';
import { Output, type OutputStream } from './output.ts';
import { printableLine } from './printable.ts';

/** A column of a table: its title, and the text of a row. */
export interface Column<Row> {
  readonly title: string;
  readonly text: (row: Row) => string;
  /** Aligns figures at the right. */
  readonly right?: boolean;
  /**
   * Is cut first when the table is wider than the terminal: at the end, or in the middle, for names that differ at their ends. At most one
   * column.
   */
  readonly flexible?: boolean | 'middle';
  readonly paint?: (row: Row, palette: Palette) => (text: string) => string;
}

/** Number of characters that a text takes on a terminal, without its colours. */
export function widthOf(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

/** Least width to which a column is cut. */
const LEAST = 12;

/**
 * Lays out rows as lines of a table, with the titles above. Cells are one line each and show control characters. If `width` is given and the
 * table is wider, the flexible column is cut, and then the widest ones, which `…` shows.
 */
export function layOut<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { palette = PLAIN, width }: { readonly palette?: Palette; readonly width?: number } = {},
): string[] {
  const cells = rows.map(row => columns.map(column => printableLine(column.text(row))));
  const widths = columns.map((column, at) =>
    Math.max(widthOf(column.title), ...cells.map(line => widthOf(line[at] ?? ''))),
  );
  if (width !== undefined) {
    const flexible = columns.findIndex(column => column.flexible);
    narrow(widths, width - 2 * (widths.length - 1), flexible);
  }
  const place = (text: string, at: number, paint: (text: string) => string) => {
    const room = widths[at] ?? 0;
    const characters = [...text];
    const cut = characters.length > room ? shortened(characters, room, columns[at]?.flexible === 'middle') : text;
    const blanks = ' '.repeat(room - Math.min(characters.length, room));
    if (columns[at]?.right) return blanks + paint(cut);
    return at === columns.length - 1 ? paint(cut) : paint(cut) + blanks;
  };
  const head = columns.map(({ title }, at) => place(title, at, palette.faint)).join('  ');
  const body = rows.map((row, index) =>
    columns
      .map((column, at) => place(cells[index]?.[at] ?? '', at, column.paint?.(row, palette) ?? (text => text)))
      .join('  '),
  );
  return [head, ...body].map(line => line.trimEnd());
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

/** Cuts a text of more than `room` characters, at the end or in the middle. */
function shortened(characters: readonly string[], room: number, inTheMiddle: boolean): string {
  const tail = inTheMiddle ? Math.floor((room - 1) / 2) : 0;
  return `${characters.slice(0, room - 1 - tail).join('')}…${characters.slice(characters.length - tail).join('')}`;
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
