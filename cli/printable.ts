/**
 * Characters that a terminal obeys instead of showing: control characters, and those that reverse the direction of text. A probe may send them in
 * any string.
 */
const OBEYED = /(?![\n\t])[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

const hex = (character: string, digits: number) => character.codePointAt(0)!.toString(16).padStart(digits, '0');

/** Text as a terminal may have it: control characters other than line end and tab as `\x1b`, marks of direction as `\u202e`. */
export function printable(text: string): string {
  return text.replace(OBEYED, character =>
    character < '\u0100' ? `\\x${hex(character, 2)}` : `\\u${hex(character, 4)}`,
  );
}

/** The same on one line: line ends and tabs are `\n` and `\t`. */
export function printableLine(text: string): string {
  return printable(text).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

/** JSON as a terminal may have it; the value stays the same. */
export function printableJson(json: string): string {
  return json.replace(OBEYED, character => `\\u${hex(character, 4)}`);
}

/** A value, with every text in it on one line as `printableLine` makes it. */
export function printableValue<T>(value: T): T {
  if (typeof value === 'string') return printableLine(value) as T;
  if (Array.isArray(value)) return value.map(printableValue) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [printableLine(key), printableValue(each)]),
  ) as T;
}
