/** Breaks a text into lines of at most `width` characters: at blanks, and words that are longer than a line at any character. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const [first = '', ...rest] = cutEvery(word, width);
    const last = lines.at(-1);
    if (last !== undefined && lengthOf(last) + 1 + lengthOf(first) <= width)
      lines[lines.length - 1] = `${last} ${first}`;
    else lines.push(first);
    lines.push(...rest);
  }
  return lines;
}

/** Cuts a text into pieces of `width` characters; the last one may be shorter. */
export function cutEvery(text: string, width: number): string[] {
  const characters = [...text];
  const step = Math.max(1, width);
  return Array.from({ length: Math.ceil(characters.length / step) }, (_, at) =>
    characters.slice(at * step, (at + 1) * step).join(''),
  );
}

function lengthOf(text: string): number {
  return [...text].length;
}
