import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { startClickHouse } from '../../local/clickhouse.ts';
import { LAYERS, type Layer } from '../../pipeline/analysis/rules.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { blameOf } from './scenarios.ts';
import { dataDirectory, lines, loadExpected, openMigrated, type Row, selectVerdicts } from './verdicts.ts';

/** Differences between the verdicts of two versions of the rules. */
export interface RulesComparison {
  readonly measurements: number;
  readonly days: number;
  /** Changes of the rule that determines a layer, most frequent first. */
  readonly rules: readonly Change[];
  /** Changes of the outcome a layer is blamed for (a grade above one half), most frequent first. */
  readonly blame: readonly Change[];
  /** Number of measurements blamed as blocked in any layer: by both versions, or by only one. */
  readonly blocked: Readonly<Record<'both' | 'only2' | 'only3', readonly [measurements: number, probeSawNone: number]>>;
}

export interface Change {
  readonly layer: Layer;
  readonly test: string;
  readonly from: string;
  readonly to: string;
  readonly measurements: number;
  /** Number of these measurements in which the probe itself saw no blocking (`blocking` of web_connectivity is false). */
  readonly probeSawNone: number;
  /** One of the measurements, to inspect with `oonipipeline explain`. */
  readonly example: string;
}

/** Analyses every day of a data folder with version 2 and with version 3, and compares the verdicts. */
export async function compareRules(data: string, clickhouseUrl: string): Promise<RulesComparison> {
  const clickhouse = await openMigrated(clickhouseUrl, 'fidelity_rules');
  try {
    const asns = ipDatabases(data);
    const loaded = await loadExpected(
      clickhouse,
      data,
      (address, row) => asns.at(Date.parse(`${String(row.measurement_start_time).replace(' ', 'T')}Z`)).ip(address).asn,
    );
    const versions = new Map<string, string>();
    for (const row of loaded.obs_web ?? []) versions.set(String(row.measurement_uid), testOf(row));
    const days = new Set([...(loaded.obs_web ?? [])].map(row => String(row.measurement_start_time).slice(0, 10)));
    const rules = new Map<string, Change>();
    const blame = new Map<string, Change>();
    const blocked = { both: [0, 0], only2: [0, 0], only3: [0, 0] } satisfies Record<string, [number, number]>;
    let measurements = 0;
    for (const day of [...days].sort()) {
      const old = await selectVerdicts(clickhouse, day, 2);
      const byUid = new Map((await selectVerdicts(clickhouse, day, 3)).map(row => [row.measurement_uid, row]));
      for (const before of old) {
        const after = byUid.get(before.measurement_uid);
        if (!after) throw new Error(`version 3 gives ${before.measurement_uid} no verdict`);
        measurements++;
        const uid = String(before.measurement_uid);
        const test = versions.get(uid) ?? '';
        const probeSawNone = before.top_probe_analysis === 'false' ? 1 : 0;
        for (const layer of LAYERS) {
          const rule = (row: Row) => String(row[`top_${layer}_rule_id`]);
          // The prefix alone is not a change: it is the same rule, compared with other data.
          if (rule(before) !== rule(after).replace(/^endpoint_/, '')) {
            count(rules, { layer, test, from: rule(before), to: rule(after), probeSawNone, example: uid });
          }
          const [was, is] = [before, after].map(row => wordOf(row, layer)) as [string, string];
          if (was !== is) count(blame, { layer, test, from: was, to: is, probeSawNone, example: uid });
        }
        const [by2, by3] = [before, after].map(row => blameOf(row).some(each => each.endsWith('blocked')));
        if (!by2 && !by3) continue;
        const of = blocked[by2 && by3 ? 'both' : by2 ? 'only2' : 'only3'];
        of[0]++;
        of[1] += probeSawNone;
      }
    }
    return { measurements, days: days.size, rules: sorted(rules), blame: sorted(blame), blocked };
  } finally {
    await clickhouse.close();
  }
}

/**
 * Opens the IP databases beside the data, if they exist. Without them the networks of all answers are unknown, so one rule of DNS
 * cannot match.
 */
function ipDatabases(data: string) {
  const dir = join(data, 'geoip/probe-assets-202103');
  return openIpMetadata(existsSync(dir) ? dir : undefined);
}

/** Returns the test, its version, and the program that ran it, without its patch level. */
function testOf(row: Row): string {
  const software = `${row.software_name} ${String(row.software_version).split('.').slice(0, 2).join('.')}`;
  return `${row.test_name} ${row.test_version} (${software})`;
}

function wordOf(verdict: Row, layer: Layer): string {
  const blamed = blameOf(verdict).find(each => each.startsWith(layer));
  if (blamed) return blamed.slice(layer.length + 1);
  const judged = ['blocked', 'down', 'ok'].some(grade => Number(verdict[`${layer}_${grade}`]) > 0);
  return judged ? 'ok' : 'not judged';
}

function count(into: Map<string, Change>, change: Omit<Change, 'measurements'>): void {
  const key = [change.layer, change.test, change.from, change.to].join('\n');
  const known = into.get(key);
  into.set(key, {
    ...change,
    // The smallest uid, so that the output is the same each time.
    example: known && known.example < change.example ? known.example : change.example,
    measurements: (known?.measurements ?? 0) + 1,
    probeSawNone: (known?.probeSawNone ?? 0) + change.probeSawNone,
  });
}

function sorted(changes: Map<string, Change>): Change[] {
  return [...changes.values()].sort(
    (a, b) =>
      LAYERS.indexOf(a.layer) - LAYERS.indexOf(b.layer) ||
      b.measurements - a.measurements ||
      (a.test + a.from < b.test + b.from ? -1 : 1),
  );
}

/** Prints the comparison as Markdown tables. docs/analysis-versions.md contains this output. */
export async function printRulesComparison(data = dataDirectory()): Promise<boolean> {
  const server = await startClickHouse();
  try {
    const found = await compareRules(data, server.url);
    const expected = lines(`${data}/expected/analysis.jsonl.gz`).length;
    const { both, only2, only3 } = found.blocked;
    console.log(`${found.measurements} measurements of ${found.days} days (${expected} with a verdict of the Python pipeline).

| Versions that find something blocked | Measurements | Of these, the probe saw no blocking |
|---|---|---|
| both versions | ${both.join(' | ')} |
| version 2 alone | ${only2.join(' | ')} |
| version 3 alone | ${only3.join(' | ')} |

Changes of the rule that decides a layer (the prefix \`endpoint_\` alone does not count as a change):

${tableOf(found.rules)}

Changes of the cause that is named for a layer:

${tableOf(found.blame)}`);
    return true;
  } finally {
    await server.stop();
  }
}

function tableOf(changes: readonly Change[]): string {
  const rows = changes.map(({ layer, test, from, to, measurements, probeSawNone, example }) =>
    [layer, test, from, to, measurements, probeSawNone, `\`${example}\``].join(' | '),
  );
  return [
    '| Layer | Test | Version 2 | Version 3 | Measurements | Probe saw none | For example |',
    '|---|---|---|---|---|---|---|',
    ...rows.map(row => `| ${row} |`),
  ].join('\n');
}
