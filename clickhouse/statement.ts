/** A parsed INSERT with rows after its text, in parts, so that a file can replace the rows. */
export interface InsertStatement {
  /** `INSERT INTO table (columns)` as written. */
  readonly target: string;
  /** `SETTINGS …` as written, or empty. */
  readonly settings: string;
  /** Format of the rows, such as `RowBinary`. */
  readonly format: string;
  /** Position of the first row in the text: after FORMAT and the end of that line. */
  readonly dataStart: number;
}

/** White space and comments that end with their line. ClickHouse reads `#` as a comment only before a blank or `!`. */
const SPACE = /(?:\s|--[^\n]*|\/\/[^\n]*|#[ !][^\n]*)+/y;
const WORD = /[A-Za-z_][\w$]*|\d\w*/y;
const HEREDOC = /\$\w*\$/y;
const CLOSING: Readonly<Record<string, string>> = { "'": "'", '"': '"', '`': '`', '‘': '’', '“': '”' };

/** End of the first statement of a text, and start of the next one, if there is one. */
export interface StatementEnd {
  /** Position of the semicolon after the statement, or the length of the text. */
  readonly end: number;
  /** Position of the first character after that semicolon that is not a blank, a comment or a semicolon. Absent if there is none. */
  readonly next?: number;
}

/**
 * Finds the end of the first statement as ClickHouse's lexer does. Skips semicolons in quotes, comments (which nest) and heredocs. Rows
 * after an INSERT are part of it, with any content; rows of INSERT … VALUES are read as SQL.
 */
export function endOfStatement(text: string): StatementEnd {
  const first = text.indexOf(';');
  if (first < 0 || parseInsert(text)) return { end: text.length };
  const scan = new Scanner(text);
  for (;;) {
    const end = scan.skipSpace();
    if (scan.atEnd) return { end: text.length };
    if (scan.next() !== ';') continue;
    for (;;) {
      const next = scan.skipSpace();
      if (scan.atEnd) return { end };
      if (scan.next() !== ';') return { end, next };
    }
  }
}

/** Returns whether a statement makes ClickHouse write a file (`INTO OUTFILE`) or read one for an INSERT (`FROM INFILE`). */
export function namesFile(text: string): boolean {
  if (!/OUTFILE|INFILE/i.test(text)) return false;
  const scan = new Scanner(text);
  for (let before = ''; ; ) {
    scan.skipSpace();
    if (scan.atEnd) return false;
    const word = scan.next().toUpperCase();
    if ((before === 'INTO' && word === 'OUTFILE') || (before === 'FROM' && word === 'INFILE')) return true;
    before = word;
  }
}

/**
 * Parses `INSERT INTO [TABLE] [FUNCTION] target [(columns)] [SETTINGS …] FORMAT name` at the start of a text. Returns undefined for any
 * other text, also for INSERT … VALUES and INSERT … SELECT: they carry their rows in SQL, which the engine reads itself.
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

/**
 * Returns the kind of a statement as a word in upper case. This is its first word after comments and opening parentheses. For a statement
 * that begins with WITH, this is the SELECT or INSERT that follows.
 */
export function statementKind(text: string): string {
  const scan = new Scanner(text);
  let first = '';
  for (let depth = 0; ; ) {
    scan.skipSpace();
    if (scan.atEnd) return first;
    const word = scan.next().toUpperCase();
    if (first === '' && word !== '(') {
      if (word !== 'WITH') return word;
      first = word;
    }
    if (word === '(') depth++;
    else if (word === ')') depth--;
    else if (depth === 0 && (word === 'SELECT' || word === 'INSERT')) return word;
  }
}

/** Returns the format that the last clause of a statement names, or undefined. */
export function outputFormat(text: string): string | undefined {
  const scan = new Scanner(text);
  let format: string | undefined;
  for (let depth = 0; !scan.atEnd; ) {
    scan.skipSpace();
    if (scan.atEnd) break;
    const word = scan.next();
    // `format` may also be a column or a function. Only the clause is followed by the end of the statement or by SETTINGS.
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

/** Formats a value as an SQL string literal. */
export function quote(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** Reads an SQL text as words, quoted strings and single characters. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  /** Skips blanks and comments, and returns the position after them. */
  skipSpace(): number {
    for (;;) {
      const blank = this.#take(SPACE) !== undefined;
      if (!this.#comment() && !blank) return this.#at;
    }
  }

  next(): string {
    return this.#take(WORD) ?? this.#quoted() ?? this.#heredoc() ?? this.#text[this.#at++] ?? '';
  }

  /** Reads the given word if it comes next. */
  word(expected: string): boolean {
    const at = this.skipSpace();
    if (this.next().toUpperCase() === expected) return true;
    this.#at = at;
    return false;
  }

  /** Skips blanks and one end of line, and returns the position after them: rows of a binary format begin exactly there. */
  endOfLine(): number {
    this.#take(/[ \t]*(?:;[ \t]*)?(?:\r?\n)?/y);
    return this.#at;
  }

  /** Skips a comment between slashes and stars, which may contain others. A comment that is not closed is not a comment. */
  #comment(): boolean {
    if (!this.#text.startsWith('/*', this.#at)) return false;
    const marks = /\/\*|\*\//g;
    marks.lastIndex = this.#at;
    for (let depth = 0; ; ) {
      const mark = marks.exec(this.#text)?.[0];
      if (mark === undefined) return false;
      depth += mark === '/*' ? 1 : -1;
      if (depth > 0) continue;
      this.#at = marks.lastIndex;
      return true;
    }
  }

  /** Reads a string or a quoted name. Returns undefined if it is not closed. */
  #quoted(): string | undefined {
    const text = this.#text;
    const open = text[this.#at] ?? '';
    const close = CLOSING[open];
    if (close === undefined) return undefined;
    const escapes = open === close;
    for (let at = this.#at + 1; at < text.length; at++) {
      if (escapes && text[at] === '\\') at++;
      else if (text[at] === close) {
        if (escapes && text[at + 1] === close) at++;
        else {
          const found = text.slice(this.#at, at + 1);
          this.#at = at + 1;
          return found;
        }
      }
    }
    return undefined;
  }

  /** Reads a string between two equal tags, `$tag$ … $tag$`. Returns undefined if it is not closed. */
  #heredoc(): string | undefined {
    HEREDOC.lastIndex = this.#at;
    const tag = HEREDOC.exec(this.#text)?.[0];
    const end = tag === undefined ? -1 : this.#text.indexOf(tag, this.#at + tag.length);
    if (tag === undefined || end < 0) return undefined;
    const found = this.#text.slice(this.#at, end + tag.length);
    this.#at = end + tag.length;
    return found;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}
