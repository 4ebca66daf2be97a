import { readFileSync } from 'node:fs';

/** Version of this program, for the record of what was processed by what. */
export const CODE_VERSION: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
