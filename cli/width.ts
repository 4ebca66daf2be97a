import stringWidth from 'string-width';

/** Returns the columns of a terminal; undefined where they are not known. A terminal without a size, as of a serial line, has 0. */
export function columnsOf({ columns }: { readonly columns?: number }): number | undefined {
  return columns || undefined;
}

/** Returns the number of columns that a text takes on a terminal, without its colours. A Chinese character and most symbols take two. */
export function widthOf(text: string): number {
  return stringWidth(text);
}

/** Returns the longest beginning of a text that takes at most `columns` columns, and at least one character. */
export function beginningOf(text: string, columns: number): string {
  return take([...text], columns).join('');
}

/** Returns the longest end of a text that takes at most `columns` columns. */
export function endOf(text: string, columns: number): string {
  if (columns <= 0) return '';
  const characters = [...text].reverse();
  return take(characters, columns).reverse().join('');
}

function take(characters: readonly string[], columns: number): string[] {
  let left = columns;
  const end = characters.findIndex((character, at) => {
    left -= widthOf(character);
    return left < 0 && at > 0;
  });
  return characters.slice(0, end < 0 ? undefined : end);
}
