import { type Problem, ReferenceDataError } from './dataset.ts';

/** A record of a CSV file by column name, and the number of its last line. */
export interface CsvRecord {
  readonly line: number;
  readonly values: Readonly<Record<string, string>>;
}

export interface CsvOptions {
  /**
   * True for a file that people edit by hand: a quote that is still open at the end of the file, and bytes that are not UTF-8, are
   * problems of their row, and a CR alone ends a line. Otherwise they mean that the file is cut off or is not CSV, and it is rejected.
   */
  readonly handMade?: boolean;
}

/** A line without the characters that end it, and these characters, which belong to a quoted field that continues. */
interface Line {
  readonly text: string;
  readonly end: string;
}

/** Marks a line that is not UTF-8. Decoded text cannot contain it. */
const NOT_UTF8 = '\ud800';

/**
 * Reads a CSV file with a header (RFC 4180: quoted fields may contain commas, quotes and line breaks, which stay as they are). Blanks
 * around an unquoted field are removed; a quote inside it is an ordinary character. A row is reported as a problem and omitted if it has
 * too few or too many fields, repeats the header, or has a quote that does not close correctly; reading continues on the next line. Throws
 * ReferenceDataError for a file without one of `columns`, and as CsvOptions describes.
 */
export function readCsv(
  name: string,
  bytes: Uint8Array,
  columns: readonly string[],
  options: CsvOptions = {},
): { records: CsvRecord[]; problems: Problem[] } {
  const lines = linesOf(name, bytes, options);
  const header = readRecord(lines, 0)?.fields ?? [];
  const missing = columns.filter(column => !header.includes(column));
  if (missing.length > 0) {
    throw new ReferenceDataError(
      `${name} lacks the ${missing.length === 1 ? 'column' : 'columns'} ${missing.join(', ')}; its first line is "${header.join(',').slice(0, 120)}". Nothing was changed.`,
    );
  }
  const records: CsvRecord[] = [];
  const problems: Problem[] = [];
  const last = lines.findLastIndex(({ text }) => text.trim() !== '');
  for (let at = 1, next: number; at <= last; at = next) {
    next = at + 1;
    if (lines[at]!.text.trim() === '') continue;
    const found = readRecord(lines, at);
    const where = `${name} line ${found && isWhole(found, lines, at, header.length) ? found.end : at + 1}`;
    if (!found || !isWhole(found, lines, at, header.length)) {
      if (!found && at === last && !options.handMade) {
        throw new ReferenceDataError(
          `${name} is not CSV: the quote in line ${at + 1}, the last, does not close. Nothing was changed.`,
        );
      }
      problems.push({ where, what: 'a quote that does not close where it should' });
      continue;
    }
    next = found.end;
    const { fields } = found;
    if (fields.some(field => field.includes(NOT_UTF8))) {
      problems.push({ where, what: 'bytes that are not UTF-8' });
    } else if (fields.length !== header.length) {
      problems.push({ where, what: `${fields.length} fields instead of ${header.length}` });
    } else if (fields.every((field, index) => field === header[index])) {
      problems.push({ where, what: 'a second header' });
    } else {
      records.push({
        line: found.end,
        values: Object.fromEntries(header.map((column, index) => [column, fields[index]!])),
      });
    }
  }
  return { records, problems };
}

interface FoundRecord {
  readonly fields: readonly string[];
  /** Number of its last line, which is also the index of the next line. */
  readonly end: number;
}

/** Reads the record that begins on a line. Returns undefined if a quote does not close, or is not followed by a comma. */
function readRecord(lines: readonly Line[], start: number): FoundRecord | undefined {
  const fields: string[] = [];
  let line = start;
  let text = lines[line]?.text ?? '';
  for (let at = 0; ; at++) {
    const quoted = /^[ \t]*"/.exec(text.slice(at));
    if (!quoted) {
      const comma = text.indexOf(',', at);
      fields.push(text.slice(at, comma < 0 ? undefined : comma).trim());
      if (comma < 0) return { fields, end: line + 1 };
      at = comma;
      continue;
    }
    let value = '';
    at += quoted[0].length;
    for (;;) {
      const quote = text.indexOf('"', at);
      if (quote < 0) {
        value += text.slice(at) + lines[line]!.end;
        if (++line >= lines.length) return undefined;
        text = lines[line]!.text;
        at = 0;
      } else if (text[quote + 1] === '"') {
        value += text.slice(at, quote + 1);
        at = quote + 2;
      } else {
        value += text.slice(at, quote);
        at = quote + 1;
        break;
      }
    }
    fields.push(value);
    const after = /^[ \t]*(,|$)/.exec(text.slice(at));
    if (!after) return undefined;
    if (after[1] === '') return { fields, end: line + 1 };
    at += after[0].length - 1;
  }
}

/** Reports whether a record of several lines is really one record. An open quote that meets the next quote would include complete rows. */
function isWhole({ end }: FoundRecord, lines: readonly Line[], start: number, columns: number): boolean {
  for (let line = start + 1; line < end; line++) {
    const within = readRecord(lines, line);
    if (within && within.end === line + 1 && within.fields.length === columns && columns > 1) return false;
  }
  return true;
}

function linesOf(name: string, bytes: Uint8Array, { handMade = false }: CsvOptions): Line[] {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const ends = handMade ? /(\r\n?|\n)/ : /(\r?\n)/;
  try {
    return pairs(decoder.decode(bytes).split(ends));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    if (!handMade) throw new ReferenceDataError(`${name} is not UTF-8 text. Nothing was changed.`);
  }
  // Each byte becomes one character. In UTF-8 the byte of a line break has no other meaning.
  const raw = pairs(Buffer.from(bytes).toString('latin1').split(ends));
  return raw.map(({ text, end }) => {
    try {
      return { text: decoder.decode(Buffer.from(text, 'latin1')), end };
    } catch {
      return { text: Buffer.from(text, 'latin1').toString() + NOT_UTF8, end };
    }
  });
}

/** Returns the lines of a list in which each text is followed by its end. The last text has none. */
function pairs(parts: readonly string[]): Line[] {
  return Array.from({ length: Math.ceil(parts.length / 2) }, (_, index) => ({
    text: parts[2 * index]!,
    end: parts[2 * index + 1] ?? '',
  }));
}
