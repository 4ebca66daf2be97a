import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { FIXTURES } from './expected.ts';
import { compareCorpus } from './suite.ts';

/** Our rows of the fixtures that deviate from those of the Python pipeline. Other tests expect them in the tables. */
export const DEVIANTS = join(FIXTURES.expected, 'deviating.jsonl.gz');

/** Writes DEVIANTS. If a difference has no listed reason, returns false and writes nothing. */
export async function renewDeviants(): Promise<boolean> {
  const { deviants, unexplained } = await compareCorpus(FIXTURES);
  if (unexplained.length > 0) {
    console.error(`${unexplained.length} differences have no listed reason: run "npm run fidelity"`);
    return false;
  }
  const lines = deviants.map(each => `${JSON.stringify(each)}\n`);
  writeFileSync(DEVIANTS, gzipSync(lines.join(''), { level: 9 }));
  console.log(`${DEVIANTS}: ${deviants.length} measurements`);
  return true;
}
