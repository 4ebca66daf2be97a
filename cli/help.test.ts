import { expect, test } from 'vitest';
import { fitHelp } from './help.ts';
import { createKubectlProgram } from './kubectl/program.ts';
import { createProgram } from './program.ts';
import { widthOf } from './width.ts';

test('paragraphs that are too wide are broken at words; options and examples stay', () => {
  const text = 'Usage: x\n\nOne two three\nfour.\n\nFive\nsix.\n\n  --an-option  a long description\n';
  expect(fitHelp(text, 10)).toBe(
    'Usage: x\n\nOne two\nthree\nfour.\n\nFive\nsix.\n\n  --an-option  a long description\n',
  );
  expect(fitHelp(text, 80)).toBe(text);
});

test.each([
  ['oonipipeline', createProgram],
  ['kubectl-ooni', createKubectlProgram],
] as const)(
  'the help of each command of %s fits into 80 columns, except commands that are examples',
  async (_, create) => {
    const program = await create('all');
    const wide: string[] = [];
    for (const command of [program, ...program.commands, ...program.commands.flatMap(each => each.commands)]) {
      let help = '';
      command.configureHelp({ helpWidth: 80 }).configureOutput({ writeOut: text => (help += fitHelp(text, 80)) });
      command.outputHelp();
      wide.push(
        ...help.split('\n').filter(line => widthOf(line) > 80 && !/^ .*(oonipipeline|kubectl ooni) /.test(line)),
      );
    }
    expect(wide).toEqual([]);
  },
);
