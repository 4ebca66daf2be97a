import { corpus } from './expected.ts';
import { compareCorpus } from './suite.ts';

const SHOWN = 40;

/**
 * Compares the rows of every measurement with those of the Python pipeline, column by column, and prints the result. Returns true
 * if docs/deviations.md explains every difference.
 */
export async function printRowFidelity(): Promise<boolean> {
  const chosen = corpus();
  const started = performance.now();
  const report = await compareCorpus(chosen);
  const rows = Object.entries(report.rows).map(([table, count]) => `${table} ${count}`);
  const deviating = Object.entries(report.deviating);

  console.log(`${chosen.name}, in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  console.log(`measurements  ${report.measurements}: ${report.ok} ok, ${report.lost} lost`);
  console.log(`rows          ${rows.join(', ')}`);
  console.log(`compared      ${report.compared}`);
  console.log(`equal         ${report.equal}`);
  console.log(
    `deviating     ${deviating.length === 0 ? 0 : deviating.map(([id, count]) => `${id} ${count}`).join(', ')}`,
  );
  console.log(`unexplained   ${report.unexplained.length}`);
  for (const each of report.unexplained.slice(0, SHOWN)) {
    const values = `${JSON.stringify(each.got)} where ${JSON.stringify(each.expected)} was expected`;
    console.log(`  ${each.key}:${each.line} ${each.table}.${each.column}: ${values}`.slice(0, 300));
  }
  if (report.unexplained.length > SHOWN) console.log(`  and ${report.unexplained.length - SHOWN} more`);
  return report.unexplained.length === 0;
}
