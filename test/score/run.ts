/**
 * Judges measurements whose right verdict is known, with each version of the rules, and prints how many are judged right.
 *
 *     npm run score                 prints the tables
 *     npm run score -- --write      writes them into docs/analysis-versions.md as well
 *
 * The measurements are: the scenarios of the probe's QA suite; real measurements of web_connectivity with a control and of messengers, labelled
 * by the probe's own result; and generated ones, each interference with each scheme, with and without control, and with each messenger. Uses
 * `../shared/data` beside the repository if it exists, otherwise test/fixtures. Exits with status 1 if version 3 misses a target.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startClickHouse } from '../../local/clickhouse.ts';
import { judgeLabelled } from './judge.ts';
import { BEGIN, report, scorecardOf } from './report.ts';

const DOC = join(import.meta.dirname, '../../docs/analysis-versions.md');
/** Largest share of clean measurements that may be judged as blocked. */
const FALSE_ALARMS = 0.005;

const server = await startClickHouse();
try {
  const judged = await judgeLabelled(server.url);
  const text = report(judged);
  console.log(text);
  for (const each of judged.filter(({ version, isRight }) => version === 3 && !isRight)) {
    console.error(
      `version 3: ${each.set}, ${each.test}, ${each.label.kind}: ${each.got} is not ${each.wanted} (${each.uid})`,
    );
  }
  if (process.argv.includes('--write')) {
    const page = readFileSync(DOC, 'utf8');
    writeFileSync(
      DOC,
      page.replace(`${BEGIN}\n\n${scorecardOf(page)}\n`, () => `${BEGIN}\n\n${text}\n`),
    );
  }
  const ours = judged.filter(({ version }) => version === 3);
  const clean = ours.filter(({ label }) => label.kind === 'clean');
  const alarms = clean.filter(({ isAlarm }) => isAlarm).length;
  const missed = ours.filter(({ set, isRight }) => set === 'QA scenarios' && !isRight).length;
  const unloaded = ours.filter(({ isUnloadedOk }) => isUnloadedOk).length;
  if (missed > 0 || unloaded > 0 || alarms > FALSE_ALARMS * clean.length) process.exitCode = 1;
} finally {
  await server.stop();
}
