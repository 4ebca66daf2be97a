import { widthOf } from './width.ts';

/** Breaks a text into lines of at most `width` columns: at blanks, and words that are longer than a line at any character. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const [first = '', ...rest] = cutEvery(word, width);
    const last = lines.at(-1);
    if (last !== undefined && widthOf(last) + 1 + widthOf(first) <= width) lines[lines.length - 1] = `${last} ${first}`;
    else lines.push(first);
    lines.push(...rest);
  }
  return lines;
}

/** Cuts a text into pieces of `width` columns; the last one may be narrower, and so may one before a character of two columns. */
export function cutEvery(text: string, width: number): string[] {
  const pieces: string[] = [];
  let piece = '';
  let columns = 0;
  for (const character of text) {
    const added = widthOf(character);
    if (piece !== '' && columns + added > width) {
      pieces.push(piece);
      piece = '';
      columns = 0;
    }
    piece += character;
    columns += added;
  }
  return piece === '' ? pieces : [...pieces, piece];
}
