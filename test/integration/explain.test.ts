import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type Explanation, explain } from '../../pipeline/analysis/explain.ts';
import { LAYERS } from '../../pipeline/analysis/rules.ts';
import { EVERYTHING } from '../../pipeline/filter.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { lines, loadExpected, type Row } from '../fidelity/verdicts.ts';
import { analyseDay } from '../support/analyse-day.ts';
import { makeDatabase, silent } from '../support/database.ts';
import { PROGRAM_ENV } from '../support/program.ts';

const ROOT = join(import.meta.dirname, '../..');
const FIXTURES = join(ROOT, 'test/fixtures');
let clickhouse: ClickHouse;
let url: string;
/** A verdict of the Python pipeline for each of its rules that matched. */
let examples: Row[];

beforeAll(async () => {
  ({ clickhouse, url } = await makeDatabase(inject('clickhouseUrl'), 'explain'));
  await loadExpected(clickhouse, FIXTURES);
  const expected = lines(join(FIXTURES, 'expected/analysis.jsonl.gz'));
  const byRule = new Map<string, Row>();
  for (const row of expected) for (const layer of LAYERS) byRule.set(`${layer} ${row[`top_${layer}_rule_id`]}`, row);
  examples = [...new Set(byRule.values())];
  for (const day of new Set(examples.map(row => String(row.window)))) {
    const options = { day, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion: 2, generation: 1 } as const;
    await analyseDay(clickhouse, options, silent);
  }
});
afterAll(() => clickhouse?.close());

async function run(...args: string[]): Promise<{ status: number | null; output: string; errors: string }> {
  const child = spawn(process.execPath, ['cli/main.ts', 'explain', ...args], {
    cwd: ROOT,
    env: { ...PROGRAM_ENV, CLICKHOUSE_URL: url },
  });
  const status = new Promise<number | null>(resolve => child.once('close', resolve));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { status: await status, output, errors };
}

test('every layer gets the verdict of the Python pipeline, by the first matching rule', async () => {
  expect(examples.length).toBeGreaterThan(8);
  for (const stored of examples) {
    const uid = String(stored.measurement_uid);
    const found = await explain(clickhouse, uid, { otherwise: 3 });
    expect([uid, found.rulesVersion, found.differs]).toEqual([uid, 2, []]);
    for (const { layer, rows, winner } of found.layers) {
      const grades = ['blocked', 'down', 'ok'].map(grade => stored[`${layer}_${grade}`]);
      expect([uid, layer, winner.rule, Object.values(winner.grades)]).toEqual([
        ...[uid, layer, stored[`top_${layer}_rule_id`]],
        grades,
      ]);
      expect(rows).toHaveLength(found.observations.length);
      for (const row of rows) {
        const first = Object.entries(row.conditions).find(([, holds]) => holds === true)?.[0] ?? 'none';
        expect([uid, layer, row.observation_idx, row.rule]).toEqual([uid, layer, row.observation_idx, first]);
      }
      expect(rows.some(row => row.rule === winner.rule)).toBe(true);
    }
  }
});

test('it shows the control of the measurement: its counts are in the table', async () => {
  const stored = examples.find(
    row => row.top_tls_rule_id === 'failure_ctrl_ok_reset' || row.top_tcp_rule_id === 'failure_ctrl_ok',
  )!;
  const { control, day, observations } = await explain(clickhouse, String(stored.measurement_uid), { otherwise: 2 });
  const met = control.endpoints.find(row => row.met === 1)!;
  expect(observations.map(row => row.ip)).toContain(met.ip);
  const [counted] = await clickhouse.select(
    `SELECT countIf(tcp_success = 1) AS tcp, countIf(tls_success = 1) AS tls FROM obs_web_ctrl
     WHERE toDate(measurement_start_time) = {day:Date} AND hostname = {host:String} AND ip = {ip:String} AND port = {port:Int32}`,
    { params: { day, host: met.hostname, ip: met.ip, port: met.port } },
  );
  expect(counted).toEqual({ tcp: met.tcp_success, tls: met.tls_success });
});

describe('the command', () => {
  test('prints text within 100 columns, and JSON for programs', async () => {
    const uid = String(examples.find(row => row.top_dns_rule_id === 'bogon_not_in_ctrl')?.measurement_uid);
    const human = await run(uid);
    expect(human.errors).toBe('');
    expect(human.status).toBe(0);
    for (const line of human.output.split('\n')) {
      // A word longer than the line, usually an address, stays whole.
      if (line.length > 100) expect(line.trim().split(' ').length).toBeLessThan(3);
    }
    expect(human.output).toMatch(/> yes {3}bogon_not_in_ctrl +answers_contain_bogon AND NOT/);
    expect(human.output).toContain('is the same');
    const json = await run(uid, '-o', 'json', '--clickhouse', url);
    const explanation = JSON.parse(json.output) as Explanation;
    expect(explanation.layers[0]?.winner.rule).toBe('bogon_not_in_ctrl');
    expect(explanation.measurement.measurement_uid).toBe(uid);
  });

  test('accepts the address of a measurement in the new and the old OONI Explorer', async () => {
    const { measurement_uid: uid } = examples.find(row => row.top_dns_rule_id === 'bogon_not_in_ctrl')!;
    // The expected rows have no report ids.
    const report = '20231127T000000Z_webconnectivity_IT_30722_n1_0123456789abcdef';
    await clickhouse.command(
      'INSERT INTO obs_web SELECT * REPLACE ({report:String} AS report_id) FROM obs_web FINAL WHERE measurement_uid = {uid:String}',
      { params: { uid, report } },
    );
    const [{ input } = { input: '' }] = await clickhouse.select<{ input: string }>(
      'SELECT DISTINCT input FROM obs_web WHERE measurement_uid = {uid:String}',
      { params: { uid } },
    );
    for (const address of [
      `https://explorer.ooni.org/m/${uid}`,
      `https://explorer.ooni.org/measurement/${report}?input=${encodeURIComponent(input)}`,
    ]) {
      const { status, output, errors } = await run(address, '-o', 'json');
      expect([status, errors]).toEqual([0, '']);
      expect((JSON.parse(output) as Explanation).measurement.measurement_uid).toBe(uid);
    }
    const none = await run(`https://explorer.ooni.org/measurement/${report}?input=http%3A%2F%2Fnowhere%2F`);
    expect([none.status, none.errors]).toEqual([
      1,
      `oonipipeline explain: there are no observations of report ${report} with the input http://nowhere/\n`,
    ]);
    const other = await run('https://example.com/m/x');
    expect([other.status, other.output]).toEqual([2, '']);
  });

  test('judges by other rules on request, and names the differences from the stored verdict', async () => {
    const uid = String(examples[0]?.measurement_uid);
    const { status, output } = await run(uid, '--rules', '3', '--output', 'json');
    expect(status).toBe(0);
    const { rulesVersion, differs } = JSON.parse(output) as Explanation;
    expect([rulesVersion, differs]).toEqual([3, expect.arrayContaining(['analysis_rules_version'])]);
  });

  test('prints one sentence for each failure, and nothing on standard output', async () => {
    const unknown = await run('20240101000000.000000_IT_webconnectivity_0000000000000000');
    expect([unknown.status, unknown.output]).toEqual([1, '']);
    expect(unknown.errors).toMatch(/^oonipipeline explain: there are no observations of a measurement 20240101/);
    await clickhouse.insert('pipeline_failures', [
      {
        bucket: '2024-01-01',
        key: 'raw/x.jsonl.gz',
        line: 7,
        generation: 1,
        stage: 'decode',
        class: 'MissingKey',
        message: 'no test_keys',
        measurement_uid: 'failed-one',
      },
    ]);
    expect((await run('failed-one')).errors).toContain(
      'decode failed at raw/x.jsonl.gz line 7 with MissingKey: no test_keys',
    );
    const version = await run('x', '--rules', '4');
    expect([version.status, version.errors]).toEqual([2, expect.stringContaining('versions 2 and 3')]);
    const away = await run('x', '--clickhouse', 'http://127.0.0.1:1/x');
    expect([away.status, away.errors]).toEqual([1, expect.stringContaining('127.0.0.1:1')]);
  });

  test('the error names a missing control table', async () => {
    await clickhouse.command('RENAME TABLE obs_web_ctrl TO hidden');
    try {
      const { status, errors } = await run(String(examples[0]?.measurement_uid));
      expect([status, errors]).toEqual([1, expect.stringMatching(/table obs_web_ctrl is not in the database/)]);
    } finally {
      await clickhouse.command('RENAME TABLE hidden TO obs_web_ctrl');
    }
  });
});
