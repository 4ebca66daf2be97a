/**
 * Characters that a terminal obeys instead of showing: control characters, those that reverse the direction of text, and the two that separate
 * lines and paragraphs. A probe may send them in any string.
 */
const CONTROL_CHARACTERS = /(?![\n\t])[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

const hex = (character: string, digits: number) => character.codePointAt(0)!.toString(16).padStart(digits, '0');

/** Returns text that is safe for a terminal: control characters other than line end and tab become `\x1b`, the others `\u202e`. */
export function printable(text: string): string {
  return text.replace(CONTROL_CHARACTERS, character =>
    character < '\u0100' ? `\\x${hex(character, 2)}` : `\\u${hex(character, 4)}`,
  );
}

/** Returns the same as one line: line ends and tabs become `\n` and `\t`. */
export function printableLine(text: string): string {
  return printable(text).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

/** Returns JSON that is safe for a terminal. Its value stays the same. */
export function printableJson(json: string): string {
  return json.replace(CONTROL_CHARACTERS, character => `\\u${hex(character, 4)}`);
}

/** Returns a value with every text in it as `printableLine` returns it. */
export function printableValue<T>(value: T): T {
  if (typeof value === 'string') return printableLine(value) as T;
  if (Array.isArray(value)) return value.map(printableValue) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [printableLine(key), printableValue(each)]),
  ) as T;
}
