/** An INSERT whose rows follow its text, taken apart so that a file can take their place. */
export interface InsertStatement {
  /** `INSERT INTO table (columns)` as it was written. */
  readonly target: string;
  /** `SETTINGS …` as it was written, or empty. */
  readonly settings: string;
  /** Format of the rows, such as `RowBinary`. */
  readonly format: string;
  /** Where the rows begin in the text: behind FORMAT and the line's end. */
  readonly dataStart: number;
}

const SPACE = /(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/y;
const WORD = /[A-Za-z_]\w*/y;
const QUOTED = /`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|'(?:[^'\\]|\\.|'')*'/y;

/**
 * Reads `INSERT INTO [TABLE] [FUNCTION] target [(columns)] [SETTINGS …] FORMAT name` at the start of a text. Undefined when the text is
 * anything else, INSERT … VALUES and INSERT … SELECT included: those carry their rows in SQL, which the engine reads itself.
 */
export function parseInsert(text: string): InsertStatement | undefined {
  const scan = new Scanner(text);
  if (!scan.word('INSERT') || !scan.word('INTO')) return undefined;
  scan.word('TABLE');
  scan.word('FUNCTION');
  let settingsStart = -1;
  let targetEnd = -1;
  for (let depth = 0; !scan.atEnd; ) {
    const start = scan.skipSpace();
    const word = scan.next();
    if (word === '(') depth++;
    else if (word === ')') depth--;
    if (depth > 0) continue;
    switch (word.toUpperCase()) {
      case 'SELECT':
      case 'WITH':
      case 'VALUES':
      case 'FROM':
      case 'WATCH':
      case ';':
        return undefined;
      case 'SETTINGS':
        settingsStart = start;
        targetEnd = start;
        break;
      case 'FORMAT': {
        if (targetEnd < 0) targetEnd = start;
        scan.skipSpace();
        const format = scan.next();
        if (!/^\w+$/.test(format) || format.toUpperCase() === 'VALUES') return undefined;
        return {
          target: text.slice(0, targetEnd).trimEnd(),
          settings: settingsStart < 0 ? '' : text.slice(settingsStart, start).trimEnd(),
          format,
          dataStart: scan.endOfLine(),
        };
      }
    }
  }
  return undefined;
}

/** The first word of a statement in upper case, comments and opening parentheses skipped. */
export function statementKind(text: string): string {
  const scan = new Scanner(text);
  for (;;) {
    scan.skipSpace();
    if (scan.atEnd) return '';
    const word = scan.next();
    if (word !== '(') return word.toUpperCase();
  }
}

/** The format a statement asks for in its last clause, or undefined. */
export function outputFormat(text: string): string | undefined {
  const scan = new Scanner(text);
  let format: string | undefined;
  for (let depth = 0; !scan.atEnd; ) {
    scan.skipSpace();
    if (scan.atEnd) break;
    const word = scan.next();
    // `format` may also be a column or a function: only the clause is followed by the end, or by SETTINGS.
    if (format !== undefined && (word === ';' || word.toUpperCase() === 'SETTINGS')) break;
    format = undefined;
    if (word === '(') depth++;
    else if (word === ')') depth--;
    else if (depth === 0 && word.toUpperCase() === 'FORMAT') {
      scan.skipSpace();
      const name = scan.next();
      if (/^\w+$/.test(name)) format = name;
    }
  }
  return format;
}

/** A value as an SQL string literal. */
export function quote(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** Words, quoted strings and single characters of an SQL text, one by one. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  /** Position of the next thing that is neither space nor comment. */
  skipSpace(): number {
    this.#take(SPACE);
    return this.#at;
  }

  next(): string {
    return this.#take(WORD) ?? this.#take(QUOTED) ?? this.#text[this.#at++] ?? '';
  }

  /** Takes the given word when it comes next. */
  word(expected: string): boolean {
    const at = this.skipSpace();
    if (this.next().toUpperCase() === expected) return true;
    this.#at = at;
    return false;
  }

  /** Position behind blanks and one line's end: rows of a binary format begin exactly there. */
  endOfLine(): number {
    this.#take(/[ \t]*(?:;[ \t]*)?(?:\r?\n)?/y);
    return this.#at;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}
