import { readDigest } from './reduction.ts';

/**
 * Text of values as Python writes it. Upstream's decoder converts any value in a text field with Python's `str`, and existing rows
 * contain the result. So malformed fields must give the same text (observations.md section 2).
 *
 * A second, exact parse is needed for such documents, because the first one keeps neither the digits of numbers nor bodies. It also
 * decides whether a document is broken, or only the part that the first parse left out. It is rare: 2 of the 753 measurements in
 * test/fixtures/archive are parsed twice.
 */

/** A number with its text in the JSON document, because only the text distinguishes `1` from `1.0`. */
export class SourceNumber {
  readonly value: number;
  readonly source: string;

  constructor(value: number, source: string) {
    this.value = value;
    this.source = source;
  }
}

/** Thrown when the text of a number or body is needed but was not kept. The document is then parsed again with `exact`. */
export class ExactNeeded extends Error {
  override name = 'ExactNeeded';
}

/** Returns `str(value)` for a value decoded from JSON. Throws ExactNeeded if the original text was not kept. */
export function pythonText(value: unknown): string {
  return typeof value === 'string' ? value : pythonRepr(value);
}

function pythonRepr(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return reprText(value);
    case 'boolean':
      return value ? 'True' : 'False';
    case 'number':
      throw new ExactNeeded();
  }
  if (value === null || value === undefined) return 'None';
  if (value instanceof SourceNumber) return reprNumber(value);
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(', ')}]`;
  const members = Object.entries(value as object);
  return `{${members.map(([key, member]) => `${reprText(key)}: ${pythonRepr(member)}`).join(', ')}}`;
}

const ESCAPES: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function reprText(text: string): string {
  if (readDigest(text)) throw new ExactNeeded();
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = text.replace(/[\\\n\r\t'\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]|(?! )\p{Zs}/gu, character => {
    if (character === "'") return quote === "'" ? "\\'" : "'";
    if (character in ESCAPES) return ESCAPES[character]!;
    const code = character.codePointAt(0)!.toString(16);
    if (code.length <= 2) return `\\x${code.padStart(2, '0')}`;
    return code.length <= 4 ? `\\u${code.padStart(4, '0')}` : `\\U${code.padStart(8, '0')}`;
  });
  return quote + body + quote;
}

/** Integers up to 64 bits keep their digits. Larger integers, and numbers with a point or an exponent, become the shortest form of a double. */
function reprNumber({ value, source }: SourceNumber): string {
  if (!/[.eE]/.test(source)) {
    const whole = BigInt(source);
    if (whole >= -(2n ** 63n) && whole < 2n ** 64n) return whole.toString();
  }
  if (Number.isInteger(value) && Math.abs(value) < 1e16) return `${Object.is(value, -0) ? '-0' : value}.0`;
  const [digits, exponent] = value.toExponential().split('e') as [string, string];
  const power = Number(exponent);
  if (power >= -4 && power < 16) return String(value);
  return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}

/** Returns `int(text)`, or undefined if Python would reject it. */
export function pythonInt(text: string): number | undefined {
  return /^\s*[+-]?\d+(_\d+)*\s*$/.test(text) ? Number(text.replaceAll('_', '')) : undefined;
}

/** Returns `float(text)`, or undefined if Python would reject it, and for `nan` and `inf`, which no column may contain. */
export function pythonFloat(text: string): number | undefined {
  const shape = /^\s*[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)([eE][+-]?\d+(_\d+)*)?\s*$/;
  const value = shape.test(text) ? Number(text.replaceAll('_', '')) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}
