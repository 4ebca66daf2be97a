import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { PIPELINE_SCHEDULE } from '../../crds/pipeline-schedule.ts';
import { readTestLists } from '../../pipeline/reference/test-lists.ts';
import { makeDatabase } from '../support/database.ts';

/** Problems that users reported in public. test/fixtures/reports/README.md explains each case and the fields of expected.json. */

const ROOT = join(import.meta.dirname, '../..');
const CASES = join(ROOT, 'test/fixtures/reports');
const FINGERPRINTS = join(ROOT, 'test/fixtures/fingerprints/fingerprints_dns.csv');

/** Cases that do not pass yet. */
const PENDING: readonly string[] = [];

interface Expected {
  readonly sql?: string;
  readonly rows?: readonly (readonly unknown[])[];
  readonly args?: readonly string[];
  readonly commands?: readonly {
    readonly run: string;
    readonly exit?: number | readonly number[];
    readonly stdout?: string;
    readonly stderr?: string;
    readonly times?: number;
  }[];
  readonly resources?: readonly {
    readonly kind: string;
    readonly spec: Record<string, unknown>;
    readonly right: 'refused' | 'accepted';
    readonly field?: string;
    readonly orNormalised?: Record<string, unknown>;
    readonly orBothDays?: boolean;
  }[];
  readonly testLists?: readonly string[];
  readonly loaded?: readonly (readonly [cc: string, url: string, category: string])[];
  readonly problems?: readonly (readonly [file: string, line: number])[];
  readonly absent?: readonly (readonly [cc: string, url: string])[];
  readonly loadedOrProblem?: readonly (readonly [
    file: string,
    line: number,
    cc: string,
    url: string,
    category: string,
  ])[];
}

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function bash(command: string, env: Record<string, string> = {}): Promise<Ended> {
  const options = { cwd: ROOT, env: { ...process.env, NODE_OPTIONS: '', MAX_FAILED_SHARE: '1', ...env } };
  try {
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', command], options);
    return { status: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, stdout, stderr };
  }
}

const oonipipeline = (...args: string[]) =>
  bash([process.execPath, join(ROOT, 'cli/main.ts'), ...args].map(each => `'${each}'`).join(' '));

const cases = readdirSync(CASES, { withFileTypes: true })
  .filter(entry => entry.isDirectory())
  .map(({ name }) => ({
    name,
    dir: join(CASES, name),
    expected: JSON.parse(readFileSync(join(CASES, name, 'expected.json'), 'utf8')) as Expected,
  }));

/** Defines one test per case. A pending case has to fail, so that the list above stays true. */
function eachCase(has: keyof Expected, check: (dir: string, expected: Expected) => Promise<void>): void {
  for (const { name, dir, expected } of cases.filter(each => each.expected[has] !== undefined)) {
    (PENDING.includes(name) ? test.fails : test)(name, () => check(dir, expected));
  }
}

describe('reported measurements', () => {
  eachCase('sql', async (dir, { sql, rows, args = [] }) => {
    const { url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'report', { migrated: false });
    const place = ['--archive', join(dir, 'archive'), '--clickhouse', url, '--fingerprints', FINGERPRINTS];
    const ran = await oonipipeline('run', ...place, ...args);
    const found = await clickhouse.select<Record<string, unknown>>(sql!);
    const sorted = (all: readonly unknown[]) => all.map(each => JSON.stringify(each)).sort();
    expect(sorted(found.map(row => Object.values(row))), ran.stderr).toEqual(sorted(rows!));
    await clickhouse.close();
  });
});

describe('reported commands', () => {
  let dir: string;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ooni-reports-'));
    const archive = join(CASES, 'missing-input-key/archive');
    const place = ['--archive', archive, '--clickhouse', `embedded:${dir}`, '--fingerprints', FINGERPRINTS];
    const ran = await oonipipeline('run', ...place);
    expect(ran.stdout, ran.stderr).not.toBe('');
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  eachCase('commands', async (folder, { commands }) => {
    const env = { CASE: folder, CLICKHOUSE_URL: `embedded:${dir}` };
    for (const { run, exit, stdout, stderr, times = 1 } of commands!) {
      for (let time = 1; time <= times; time++) {
        const ended = await bash(run, env);
        if (exit !== undefined) expect([exit].flat(), ended.stderr).toContain(ended.status);
        if (stdout !== undefined) expect(ended.stdout.trimEnd()).toBe(stdout);
        if (stderr !== undefined) expect(ended.stderr.trimEnd()).toBe(stderr);
      }
    }
  });
});

describe('reported resources', () => {
  eachCase('resources', async (_dir, { resources }) => {
    for (const { kind, spec, right, field, orNormalised } of resources!) {
      expect(kind).toBe('PipelineSchedule');
      const checked = PIPELINE_SCHEDULE.spec.safeParse(spec);
      const what = JSON.stringify(spec);
      if (checked.success && orNormalised) expect(checked.data, what).toMatchObject(orNormalised);
      else expect(checked.success, what).toBe(right === 'accepted');
      if (!checked.success) expect(checked.error.issues.map(({ path }) => path.join('.'))).toContain(field);
    }
  });
});

describe('reported test lists', () => {
  eachCase('testLists', async (dir, expected) => {
    const files = expected.testLists!.map(name => [name, readFileSync(join(dir, name))] as const);
    const { rows, problems } = readTestLists(files);
    const loaded = rows.map(({ cc, url, category_code }) => [cc, url, category_code]);
    const isProblem = (file: string, line: number) => problems.some(({ where }) => where === `${file} line ${line}`);
    for (const row of expected.loaded!) expect(loaded).toContainEqual(row);
    for (const [file, line] of expected.problems!) expect(isProblem(file, line), `${file} line ${line}`).toBe(true);
    for (const [cc, url] of expected.absent!) {
      expect(rows.filter(row => row.cc === cc && row.url === url)).toEqual([]);
    }
    for (const [file, line, ...row] of expected.loadedOrProblem!) {
      if (!isProblem(file, line)) expect(loaded).toContainEqual(row);
    }
  });
});
