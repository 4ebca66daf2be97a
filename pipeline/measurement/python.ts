import { readDigest } from './reduction.ts';

/**
 * How Python writes values as text. Upstream's decoder turns whatever stands in a text field into text by Python's `str`, and rows
 * that are already in the tables carry the result; so malformed fields keep comparing equal (observations.md section 2).
 */

/** A number with the text it had in the JSON document, which alone tells `1` from `1.0`. */
export class SourceNumber {
  readonly value: number;
  readonly source: string;

  constructor(value: number, source: string) {
    this.value = value;
    this.source = source;
  }
}

/** Thrown when the text of a number or body is needed but was not kept: the document is then parsed again, exactly. */
export class ExactNeeded extends Error {
  override name = 'ExactNeeded';
}

/** `str(value)` for a value decoded from JSON. Throws ExactNeeded where that is not known. */
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

/** Integers stay as written up to 64 bits; beyond, and for everything with a point or an exponent, the shortest form of a double. */
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

/** `int(text)`; undefined when Python would refuse it. */
export function pythonInt(text: string): number | undefined {
  return /^\s*[+-]?\d+(_\d+)*\s*$/.test(text) ? Number(text.replaceAll('_', '')) : undefined;
}

/** `float(text)`; undefined when Python would refuse it, and for `nan` and `inf`, which no column should hold. */
export function pythonFloat(text: string): number | undefined {
  const shape = /^\s*[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)([eE][+-]?\d+(_\d+)*)?\s*$/;
  const value = shape.test(text) ? Number(text.replaceAll('_', '')) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}
