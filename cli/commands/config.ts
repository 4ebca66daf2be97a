import { Command } from 'commander';
import {
  loadSettings,
  mistypedVariables,
  publicSettings,
  type SettingKey,
  settingSources,
} from '../../pipeline/settings.ts';
import { withExitStatus } from '../exit-status.ts';
import { EXIT_STATUS } from '../help.ts';
import { tableOption } from '../options.ts';
import { printable } from '../printable.ts';
import { type Column, printRows, type TableForm } from '../table.ts';

interface Row {
  readonly setting: SettingKey;
  readonly value: unknown;
  readonly source: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'SETTING', text: row => row.setting },
  {
    title: 'VALUE',
    text: row => (typeof row.value === 'string' ? row.value : JSON.stringify(row.value)),
    flexible: true,
  },
  {
    title: 'SOURCE',
    text: row => row.source,
    paint: (row, palette) => (row.source === 'default' ? palette.faint : palette.strong),
  },
];

/** Creates `oonipipeline config`, which shows the settings in force. */
export function configCommand(): Command {
  return new Command('config')
    .option('--changed', 'only settings that the environment or the file gives')
    .addOption(tableOption())
    .addHelpText(
      'after',
      `
Shows each setting with its value and its source: the environment, the TOML file that CONFIG_FILE names, or the default. Secrets and
passwords are shown as ***. A variable whose name is nearly that of a setting is reported. docs/settings.md describes the settings.

${EXIT_STATUS} A setting that is invalid is status 1.

  oonipipeline config --changed`,
    )
    .action((options: { changed?: boolean; output?: TableForm }) =>
      withExitStatus('config', async () => {
        const values = publicSettings(loadSettings());
        for (const [name, meant] of Object.entries(mistypedVariables())) {
          console.error(
            printable(`oonipipeline config: ${name} is not a setting and has no effect; did you mean ${meant}?`),
          );
        }
        const sources = settingSources();
        const rows = (Object.keys(values) as SettingKey[])
          .map(setting => ({ setting, value: values[setting], source: nameOf(setting, sources[setting]) }))
          .filter(({ source }) => !options.changed || source !== 'default');
        await printRows(COLUMNS, rows, {
          ...(options.output && { form: options.output }),
          none: 'oonipipeline config: every setting has its default',
        });
        return 0;
      }),
    );
}

function nameOf(setting: SettingKey, source: ReturnType<typeof settingSources>[SettingKey]): string {
  if (source === 'environment') return setting.toUpperCase();
  return source === 'file' ? (process.env.CONFIG_FILE ?? source) : source;
}
