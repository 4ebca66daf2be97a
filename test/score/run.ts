/**
 * Judges measurements whose right verdict is known, with each version of the rules, and prints how many are judged right.
 *
 *     npm run score                 prints the tables
 *     npm run score -- --write      writes them into docs/analysis-versions.md as well
 *
 * The measurements are: the scenarios of the probe's QA suite; real measurements of web_connectivity with a control, labelled by the probe's own
 * result, and those of messengers by the test's; and generated ones, each interference with each scheme, with and without control, and with each messenger. Uses `../shared/data` beside the repository if it
 * exists, otherwise test/fixtures. Exits with status 1 if version 3 misses a target.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startClickHouse } from '../../local/clickhouse.ts';
import { LAYERS, RULES_VERSIONS, type RulesVersion } from '../../pipeline/analysis/rules.ts';
import { type Judged, judgeLabelled } from './judge.ts';

const DOC = join(import.meta.dirname, '../../docs/analysis-versions.md');
const [BEGIN, END] = ['<!-- The output of npm run score begins here. -->', '<!-- It ends here. -->'];
/** Largest share of clean measurements that may be judged as blocked. */
const FALSE_ALARMS = 0.005;

const server = await startClickHouse();
try {
  const judged = await judgeLabelled(server.url);
  const text = report(judged);
  console.log(text);
  for (const each of judged.filter(({ version, isRight }) => version === 3 && !isRight)) {
    console.error(`version 3: ${each.set}, ${each.label.kind}: ${each.got} is not ${each.wanted} (${each.uid})`);
  }
  if (process.argv.includes('--write')) {
    const page = readFileSync(DOC, 'utf8');
    const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
    if (from < 0 || to < from) throw new Error(`${DOC} has no place for the tables: ${BEGIN} ... ${END}`);
    writeFileSync(DOC, `${page.slice(0, from + BEGIN.length)}\n\n${text}\n\n${page.slice(to)}`);
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

function report(judged: readonly Judged[]): string {
  const groups = [...Map.groupBy(judged, ({ set, test }) => `${set}, ${test}`)];
  const right = table(
    ['Measurements', 'Number', ...RULES_VERSIONS.map(version => `right, version ${version}`)],
    groups.map(([name, all]) => [
      name,
      String(all.length / RULES_VERSIONS.length),
      ...RULES_VERSIONS.map(version => count(all, version, ({ isRight }) => isRight)),
    ]),
  );
  const byLayer = [
    ...Map.groupBy(
      judged.filter(({ label }) => label.layer !== null),
      ({ set, test, label }) => `${set}, ${test}\n${label.layer}`,
    ),
  ];
  byLayer.sort((a, b) => order(a[0]) - order(b[0]));
  const recall = table(
    ['Measurements', 'Layer', 'Number', ...RULES_VERSIONS.map(version => `found, version ${version}`)],
    byLayer.map(([name, all]) => [
      ...(name.split('\n') as [string, string]),
      String(all.length / RULES_VERSIONS.length),
      ...RULES_VERSIONS.map(version => count(all, version, ({ isFound }) => isFound)),
    ]),
  );
  const harmless = [
    ...Map.groupBy(
      judged.filter(({ label }) => label.layer === null && label.outcome !== 'blocked'),
      ({ set, test }) => `${set}, ${test}`,
    ),
  ];
  const alarms = table(
    [
      'Measurements without blocking',
      'Number',
      ...RULES_VERSIONS.map(version => `judged as blocked, version ${version}`),
    ],
    harmless.map(([name, all]) => [
      name,
      String(all.length / RULES_VERSIONS.length),
      ...RULES_VERSIONS.map(version => count(all, version, ({ isAlarm }) => isAlarm)),
    ]),
  );
  const unloaded = RULES_VERSIONS.map(
    version => `${judged.filter(each => each.version === version && each.isUnloadedOk).length} with version ${version}`,
  );
  return `${right}

Blocking that is found, by the layer where it happens (the verdict is *blocked* or *partly_blocked*, and blames this layer):

${recall}

False alarms:

${alarms}

Judged *ok* although the page did not load: ${unloaded.join(', ')}.`;
}

function order(name: string): number {
  return (LAYERS as readonly string[]).indexOf(name.split('\n')[1]!);
}

function count(all: readonly Judged[], version: RulesVersion, is: (each: Judged) => boolean): string {
  const ours = all.filter(each => each.version === version);
  const found = ours.filter(is).length;
  return `${found} (${((100 * found) / ours.length).toFixed(1)} %)`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows]
    .map(cells => `| ${cells.join(' | ')} |`)
    .join('\n')
    .replaceAll('| --- ', '|---')
    .replaceAll('---|', '---|');
}
