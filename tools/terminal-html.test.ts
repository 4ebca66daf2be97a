import { expect, test } from 'vitest';
import { htmlOf } from './terminal-html.ts';

test('colours of a terminal become elements that may overlap', () => {
  expect(htmlOf('\x1b[1ma\x1b[31mb\x1b[39mc\x1b[22m<&')).toBe(
    '<b class="strong">a</b><b class="strong red">b</b><b class="strong">c</b>&lt;&amp;',
  );
  expect(() => htmlOf('\x1b[7mx')).toThrow('not a colour of the commands: 7');
  expect(() => htmlOf('\x1b[2Jx')).toThrow('not a colour');
});
