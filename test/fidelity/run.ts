/**
 * Compares results of the pipeline for real measurements with those of the Python pipeline.
 *
 *     npm run fidelity                                 rows of observations, column by column
 *     npm run fidelity -- analysis [DATA_DIR]          verdicts, column by column, and the scenarios of the QA suite
 *     npm run fidelity -- renew                        stores the rows of the fixtures that deviate, for other tests
 *     npm run fidelity -- compare-rules [DATA_DIR]     verdicts by version 2 of the rules and by version 3
 *
 * Uses all of `../shared/data` beside the repository if it exists, otherwise test/fixtures. Exits with status 1 if
 * docs/deviations.md does not explain a difference.
 */
import { printAnalysisFidelity } from './analysis.ts';
import { printRulesComparison } from './compare-rules.ts';
import { renewDeviants } from './deviants.ts';
import { printRowFidelity } from './print-rows.ts';

const COMPARISONS: Readonly<Record<string, (data?: string) => Promise<boolean>>> = {
  rows: printRowFidelity,
  analysis: printAnalysisFidelity,
  'compare-rules': printRulesComparison,
  renew: renewDeviants,
};

const [name = 'rows', data] = process.argv.slice(2);
const compare = COMPARISONS[name];
if (!compare) {
  console.error(`there is no comparison "${name}"; there are ${Object.keys(COMPARISONS).join(', ')}`);
  process.exit(2);
}
process.exitCode = (await compare(data)) ? 0 : 1;
