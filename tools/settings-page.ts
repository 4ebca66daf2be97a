import { SECRET_KEYS, SETTINGS, type SettingKey } from '../pipeline/settings.ts';

/** Returns docs/settings.md, generated from the settings schema. */
export function settingsPage(): string {
  const rows = Object.entries(SETTINGS).map(([key, schema]) => {
    const initial = schema.parse(undefined);
    const shown = Array.isArray(initial) ? initial.join(',') : String(initial);
    const secret = SECRET_KEYS.includes(key as SettingKey) ? ' Secret.' : '';
    return `| \`${key}\` | ${shown === '' ? '' : `\`${shown}\``} | ${schema.meta()?.description}.${secret} |`;
  });
  return `# Settings

Every program of the pipeline reads the same settings, from environment variables and from the TOML file that \`CONFIG_FILE\` names. The
name of a variable is the key in upper case, without a prefix: \`CLICKHOUSE_URL\`. A variable has priority over the file. An empty
variable counts as unset. An unknown key in the file and a value of the wrong form are errors. The items of a list are separated by commas.
Secrets are never printed.

| Key | Default | Meaning |
|---|---|---|
${rows.join('\n')}
`;
}
