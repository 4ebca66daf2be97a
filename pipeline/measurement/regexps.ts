/**
 * Regular expressions of fingerprints, in a subset of RE2's syntax that is matched in linear time: literal characters, escaped punctuation,
 * `.`, `.*` and `.+`. The dot also matches a newline (analysis.md section 13). Bodies come from the network that is measured, so a matcher
 * that can backtrack would let them stop a thread.
 */
export interface Regexp {
  /** Sequences that follow each other with any text between them. */
  readonly sequences: readonly Sequence[];
}

/** Literal texts with exactly one character between two of them; a literal may be empty. */
type Sequence = readonly Buffer[];

/** Characters that have a meaning in RE2. A brace is one only if it begins a count. */
const SPECIAL = new Set('\\.[](){}|*+?^$');

/** Parses an expression. Returns a sentence that says why it is not supported if it is not of the subset, or has no literal text. */
export function parseRegexp(source: string): Regexp | string {
  const sequences: Buffer[][] = [];
  let sequence: Buffer[] = [];
  let literal = '';
  const closeLiteral = () => {
    sequence.push(Buffer.from(literal));
    literal = '';
  };
  for (let at = 0; at < source.length; ) {
    const character = source[at]!;
    const rest = source.slice(at);
    if (/^\.[*+]/.test(rest)) {
      closeLiteral();
      if (rest[1] === '+') sequence.push(Buffer.alloc(0));
      sequences.push(sequence);
      sequence = [];
      at += rest[2] === '?' ? 3 : 2;
    } else if (character === '.' && !/^.[?{]/.test(rest)) {
      closeLiteral();
      at++;
    } else if (
      character === '\\' &&
      /^\\[^A-Za-z0-9\s]/.test(rest) &&
      !/^..[*+?]/.test(rest) &&
      !/^..\{\d/.test(rest)
    ) {
      literal += source[at + 1];
      at += 2;
    } else if (!SPECIAL.has(character) || (/[{}]/.test(character) && !/^\{\d/.test(rest))) {
      if (/^.([*+?]|\{\d)/su.test(rest)) return `a count at character ${at + 1} is not supported`;
      literal += character;
      at++;
    } else {
      return `"${rest.slice(0, 2)}" at character ${at + 1} is not supported`;
    }
  }
  closeLiteral();
  sequences.push(sequence);
  const regexp = { sequences };
  return literalsOf(regexp).length > 0 ? regexp : 'it has no literal text';
}

/** Returns the literals of the expression that are not empty. Every text that the expression matches contains all of them. */
export function literalsOf({ sequences }: Regexp): Buffer[] {
  return sequences.flat().filter(({ length }) => length > 0);
}

/** Reports whether the expression matches a part of the text. Takes time in proportion to the length of the text. */
export function searchRegexp({ sequences }: Regexp, text: Buffer): boolean {
  let at = 0;
  for (const sequence of sequences) {
    // The first place of a sequence leaves the most text for those after it.
    at = endOfFirst(sequence, text, at);
    if (at < 0) return false;
  }
  return true;
}

/** Returns the end of the first occurrence of a sequence at or after `from`, or -1. */
function endOfFirst(sequence: Sequence, text: Buffer, from: number): number {
  const [first, ...more] = sequence as readonly [Buffer, ...Buffer[]];
  for (let start = from; ; start = nextCharacter(text, start)) {
    if (first.length > 0) start = text.indexOf(first, start);
    if (start < 0 || start > text.length) return -1;
    const end = endAt(more, text, start + first.length);
    if (end >= 0) return end;
    if (start >= text.length) return -1;
  }
}

/** Returns the end of the literals at `from`, each after one character, or -1 if the text differs. */
function endAt(literals: readonly Buffer[], text: Buffer, from: number): number {
  let at = from;
  for (const literal of literals) {
    if (at >= text.length) return -1;
    at = nextCharacter(text, at);
    if (!isAt(text, literal, at)) return -1;
    at += literal.length;
  }
  return at;
}

/** Returns the position after the UTF-8 character at `at`. A byte that does not begin a character counts as one. */
function nextCharacter(text: Buffer, at: number): number {
  let next = at + 1;
  if (text[at]! >= 0xc2) while (next < at + 4 && (text[next]! & 0xc0) === 0x80) next++;
  return next;
}

/** Reports whether the text has these bytes at a position. */
export function isAt(text: Buffer, bytes: Buffer, at: number): boolean {
  if (at < 0 || at + bytes.length > text.length) return false;
  for (let i = 0; i < bytes.length; i++) if (text[at + i] !== bytes[i]) return false;
  return true;
}
