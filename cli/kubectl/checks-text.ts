import { hidePasswords } from '../../pipeline/hide-password.ts';
import type { Palette } from '../colour.ts';
import { printableLine } from '../printable.ts';
import { wrap } from '../wrap.ts';
import type { Check } from './check.ts';

const SIGNS: Readonly<Record<Check['state'], string>> = { ok: 'ok', warning: 'WARN', failed: 'FAIL', unknown: '?' };

/** Lays out checks, each with the remedy below it, `width` characters wide at most. */
export function checkLines(checks: readonly Check[], palette: Palette, width: number): string[] {
  const paint = { ok: palette.good, warning: palette.doubtful, failed: palette.bad, unknown: palette.doubtful };
  const room = Math.max(...checks.map(({ check }) => check.length));
  const indent = ' '.repeat(6 + room + 2);
  const count = (state: Check['state']) => checks.filter(each => each.state === state).length;
  return [
    ...checks.flatMap(({ check, state, message, remedy }) => [
      ...wrap(printableLine(hidePasswords(message)), width - indent.length).map(
        (line, at) => (at === 0 ? `${paint[state](SIGNS[state].padEnd(4))}  ${check.padEnd(room)}  ` : indent) + line,
      ),
      ...(remedy === undefined
        ? []
        : wrap(`-> ${remedy}`, width - indent.length).map(line => indent + palette.faint(line))),
    ]),
    '',
    `${count('ok')} ok, ${count('warning')} warning${count('warning') === 1 ? '' : 's'}, ${count('failed')} failed, ${count('unknown')} unknown`,
  ];
}
