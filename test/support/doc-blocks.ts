/** A fenced block of a documentation page. */
export interface Block {
  readonly page: string;
  /** Number of its first line in the page, from 1. */
  readonly line: number;
  /** `sh`: commands, `text`: the output of the commands before it, `sql`: statements; empty if the page names no language. */
  readonly language: string;
  readonly text: string;
  /**
   * Reason why it is not run or compared: the text of the comment `<!-- not run: ... -->` before it, or of `<!-- no block of this page is
   * run: ... -->` anywhere in the page.
   */
  readonly skipped?: string;
  /** The comment before it is `<!-- fails: ... -->`: its last command ends with an error. */
  readonly fails: boolean;
  /** The comment before it is `<!-- may be empty: ... -->`: its statements may return no rows. */
  readonly mayBeEmpty: boolean;
}

/** Returns the fenced blocks of a page in order. Throws for a block without an end. */
export function blocksOf(page: string, markdown: string): Block[] {
  const blocks: Block[] = [];
  const lines = markdown.split('\n');
  const whole = /^<!-- no block of this page is run: (.+?) -->$/m.exec(markdown)?.[1];
  for (let at = 0; at < lines.length; at++) {
    const [, indent, language] = /^( *)```(\w*)$/.exec(lines[at]!) ?? [];
    if (indent === undefined || language === undefined) continue;
    const end = lines.indexOf(`${indent}\`\`\``, at + 1);
    if (end < 0) throw new Error(`${page}:${at + 1}: the block does not end`);
    const comment = commentBefore(lines.slice(0, at));
    const skipped = whole ?? /^not run: (.+)$/s.exec(comment)?.[1];
    blocks.push({
      page,
      line: at + 1,
      language,
      text: lines
        .slice(at + 1, end)
        .map(text => text.slice(indent.length))
        .join('\n'),
      ...(skipped && { skipped }),
      fails: comment.startsWith('fails: '),
      mayBeEmpty: comment.startsWith('may be empty: '),
    });
    at = end;
  }
  return blocks;
}

/** Returns the text of the HTML comment that ends right before a block. Ignores blank lines between them. */
function commentBefore(lines: readonly string[]): string {
  const before = lines.join('\n').trimEnd();
  if (!before.endsWith('-->')) return '';
  return before
    .slice(before.lastIndexOf('<!--') + 4, -3)
    .trim()
    .replaceAll(/\s+/g, ' ');
}

/**
 * Returns the shape of a printed line: for a row of a table, the kinds of its cells; for any other line, its words without figures. Two
 * runs of a command print lines of the same shape, even if one draws a table on a terminal and the other writes tabs. Borders have no
 * shape.
 */
function shapeOf(line: string): string {
  const cells = line
    .trim()
    .split(/ {2,}|\t|\s*[│┃|]\s*/)
    .filter(cell => cell !== '' && !/^[─━┌┐└┘├┤┬┴┼=]+$/.test(cell));
  const isRow = cells.length >= 3 && cells.some(cell => kindOf(cell) !== 'word');
  // A header names its columns, so its words count.
  return isRow ? cells.map(kindOf).join(' ') : withoutFigures(cells.join('  '));
}

function kindOf(cell: string): 'figure' | 'word' {
  // The path of a temporary directory has a digit only by chance.
  return /\d/.test(withoutPaths(cell)) ? 'figure' : 'word';
}

function withoutPaths(text: string): string {
  return text.replaceAll(/(?:~|…|\/)[\w./…-]*\/[\w./…-]+/g, '/path');
}

function withoutFigures(text: string): string {
  return withoutPaths(text).replaceAll(/[\w-]*\d[\w.,:-]*/g, '0');
}

/** A part of a progress bar: of npm start, and of the commands. The bars in tables are shorter. */
const BAR = /={4}|[█░]{12}/;

/**
 * Returns the first line of documented output that the printed output does not contain, or undefined if it contains all of them in order. A
 * line `…` stands for any lines. A line with a progress bar is ignored, because only a terminal gets one.
 */
export function missingLine(documented: string, printed: string): string | undefined {
  const shapes = printed.split('\n').map(shapeOf);
  let from = 0;
  for (const line of documented.split('\n')) {
    const shape = shapeOf(line);
    if (shape === '' || line.trim() === '…' || BAR.test(line)) continue;
    const found = shapes.indexOf(shape, from);
    if (found < 0) return line;
    from = found + 1;
  }
  return undefined;
}
