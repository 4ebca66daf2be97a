import { readFileSync } from 'node:fs';

/** Version of this program, which the ledger records for each run. */
export const CODE_VERSION: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
