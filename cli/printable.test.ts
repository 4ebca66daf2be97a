import { expect, test } from 'vitest';
import { printable, printableJson, printableLine, printableValue } from './printable.ts';

const HOSTILE = 'a\x1b[31m\x07\x9b2J\x7f\r\u202eb\ttab\nline ünï 🦉 العربية';

test('control characters and direction marks become visible; other text stays unchanged', () => {
  expect(printable(HOSTILE)).toBe('a\\x1b[31m\\x07\\x9b2J\\x7f\\x0d\\u202eb\ttab\nline ünï 🦉 العربية');
  expect(printableLine(HOSTILE)).toBe('a\\x1b[31m\\x07\\x9b2J\\x7f\\x0d\\u202eb\\ttab\\nline ünï 🦉 العربية');
});

test('no text keeps a character that a terminal obeys', () => {
  const every = Array.from({ length: 0x3000 }, (_, code) => String.fromCodePoint(code)).join('');
  // C0, DEL, C1 (ECMA-48), the direction marks of UAX #9, and the separators of lines and paragraphs.
  const obeyed = [...printableLine(every)].filter(character => {
    const code = character.codePointAt(0)!;
    const isControl = code < 32 || (code >= 127 && code < 160);
    return (
      isControl ||
      [0x61c, 0x200e, 0x200f, 0x2028, 0x2029].includes(code) ||
      (code >= 0x202a && code <= 0x202e) ||
      (code >= 0x2066 && code <= 0x2069)
    );
  });
  expect(obeyed).toEqual([]);
});

test('JSON keeps its value', () => {
  const json = JSON.stringify({ [HOSTILE]: [HOSTILE] });
  const shown = printableJson(json);
  expect(JSON.parse(shown)).toEqual(JSON.parse(json));
  expect(shown).not.toMatch(/[\x80-\x9f\u202e]/);
});

test('texts inside a value', () => {
  expect(printableValue({ 'a\x1b': ['b\n', 1, null], c: { d: '\x9b' }, e: true })).toEqual({
    'a\\x1b': ['b\\n', 1, null],
    c: { d: '\\x9b' },
    e: true,
  });
});
