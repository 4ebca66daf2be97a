/** Returns the values as SQL strings, for a list. They are words of this program: a quote in a value is not escaped. */
export function quoted(values: readonly string[]): string {
  return values.map(value => `'${value}'`).join(', ');
}
