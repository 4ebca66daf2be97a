/**
 * Compares what the pipeline makes of real measurements with what the Python pipeline makes of them.
 *
 *     npm run fidelity                                 rows of observations, column by column
 *     npm run fidelity -- analysis [DATA_DIR]          verdicts, column by column, and the scenarios of the QA suite
 *     npm run fidelity -- renew                        stores the rows of the fixtures that deviate, for other tests
 *     npm run fidelity -- compare-rules [DATA_DIR]     verdicts by version 2 of the rules and by version 3
 *
 * All of `../shared/data` where it lies beside the repository, else test/fixtures. Ends with status 1 when anything differs without a
 * reason that docs/deviations.md gives.
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
