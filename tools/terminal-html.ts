/** Classes of the select-graphic-rendition codes that the commands print (cli/colour.ts). */
const CODES: Readonly<Record<string, string>> = {
  1: 'strong',
  2: 'faint',
  31: 'red',
  32: 'green',
  33: 'yellow',
  36: 'cyan',
};
/** Codes that end a class. */
const ENDS: Readonly<Record<string, readonly string[]>> = {
  0: Object.values(CODES),
  22: ['strong', 'faint'],
  39: ['red', 'green', 'yellow', 'cyan'],
};

const ESCAPE = '\x1b';
const SEQUENCE = new RegExp(`${ESCAPE}\\[([\\d;]*)m`);

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** Converts the text of a terminal, with its colours, to HTML. Throws for a control sequence that is not a colour of the commands. */
export function htmlOf(text: string): string {
  const active = new Set<string>();
  let html = '';
  // Odd parts are the codes of a control sequence.
  for (const [at, part] of text.split(SEQUENCE).entries()) {
    if (at % 2 === 0) {
      if (part.includes(ESCAPE)) throw new Error(`not a colour: ${JSON.stringify(part)}`);
      if (part !== '')
        html += active.size > 0 ? `<b class="${[...active].join(' ')}">${escaped(part)}</b>` : escaped(part);
      continue;
    }
    for (const code of part.split(';')) {
      const on = CODES[code];
      if (on !== undefined) active.add(on);
      else if (ENDS[code]) for (const name of ENDS[code]) active.delete(name);
      else throw new Error(`not a colour of the commands: ${code}`);
    }
  }
  return html;
}
