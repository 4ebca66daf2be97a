import { LAYERS, RULES_VERSIONS, type RulesVersion } from '../../pipeline/analysis/rules.ts';
import type { Judged } from './judge.ts';

/** The marks around the scorecard in docs/analysis-versions.md. */
export const [BEGIN, END] = ['<!-- The output of npm run score begins here. -->', '<!-- It ends here. -->'];

/** Returns the scorecard in a page. Throws when the page has no marks. */
export function scorecardOf(page: string): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`the page has no place for the scorecard: ${BEGIN} ... ${END}`);
  return page.slice(from + BEGIN.length, to).trim();
}

/** Returns the scorecard as Markdown: what each version of the rules judges right, finds, and judges as blocked without reason. */
export function report(judged: readonly Judged[]): string {
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
  const place = (LAYERS as readonly string[]).indexOf(name.split('\n')[1]!);
  return place < 0 ? LAYERS.length : place;
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
