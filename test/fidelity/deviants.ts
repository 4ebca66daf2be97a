import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { FIXTURES } from './expected.ts';
import { compareCorpus } from './suite.ts';

/** Rows of the fixtures that deviate from those of the Python pipeline, as we make them: what other tests expect in the tables. */
export const DEVIANTS = join(FIXTURES.expected, 'deviating.jsonl.gz');

/** Writes DEVIANTS. Returns false, and writes nothing, when rows differ without a listed reason. */
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
