import { SECRET_KEYS, SETTINGS, type SettingKey } from '../pipeline/settings.ts';

/** docs/settings.md, made from the settings schema. */
export function settingsPage(): string {
  const rows = Object.entries(SETTINGS).map(([key, schema]) => {
    const initial = schema.parse(undefined);
    const shown = Array.isArray(initial) ? initial.join(',') : String(initial);
    const secret = SECRET_KEYS.includes(key as SettingKey) ? ' Secret.' : '';
    return `| \`${key}\` | ${shown === '' ? '' : `\`${shown}\``} | ${schema.meta()?.description}.${secret} |`;
  });
  return `# Settings

Every program of the pipeline reads the same settings: from environment variables (the key in upper case, without prefix:
\`CLICKHOUSE_URL\`), and below them from the TOML file that \`CONFIG_FILE\` names. An empty variable counts as unset; an unknown
key in the file is an error, as is a value of the wrong form. Lists are separated by commas. Secrets are never printed.

| Key | Default | What |
|---|---|---|
${rows.join('\n')}
`;
}
