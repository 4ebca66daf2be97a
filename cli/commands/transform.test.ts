import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { loadSettings } from '../../pipeline/settings.ts';
import { tarOf, temporaryDirectory } from '../../test/support/archive.ts';
import { expectedMeasurements } from '../../test/support/fixtures.ts';
import { transformFiles } from './transform.ts';

const FIXTURES = join(import.meta.dirname, '../../test/fixtures');
const ARCHIVE = join(FIXTURES, 'archive');
const SIGNAL = 'raw/20230530/18/US/signal/2023053018_US_signal.n1.0.jsonl.gz';

interface Shown {
  key: string;
  line: number;
  measurement_uid?: string;
  test_name?: string;
  status: string;
  error?: string;
  reason?: string;
  tables: Record<string, Record<string, unknown>[]>;
}

const EXPECTED = expectedMeasurements() as readonly unknown[] as readonly Shown[];

async function transform(
  files: string[],
  options: { root?: string; bucketDate?: string; geoip?: string } = {},
  input = '',
) {
  const chunks: Buffer[] = [];
  const complaints: string[] = [];
  const output = new Writable({
    highWaterMark: 100,
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      setImmediate(done);
    },
  });
  const context = {
    input: Readable.from(input === '' ? [] : [Buffer.from(input)]),
    output,
    complain: (message: string) => complaints.push(message),
    now: Date.UTC(2026, 0, 1),
    settings: () => loadSettings({}),
  };
  const status = await transformFiles(files, { root: ARCHIVE, ...options }, context);
  const shown = Buffer.concat(chunks)
    .toString()
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as Shown);
  return { status, shown, complaints };
}

/** Writes an object into a new directory and returns its path and root. */
function place(key: string, content: Uint8Array | string): { path: string; root: string } {
  const root = temporaryDirectory();
  mkdirSync(dirname(join(root, key)), { recursive: true });
  writeFileSync(join(root, key), content);
  return { path: join(root, key), root };
}

const rowCounts = ({ tables }: Shown) =>
  Object.fromEntries(Object.entries(tables).map(([name, rows]) => [name, rows.length]));

describe('oonipipeline transform', () => {
  it('shows every measurement of the files in the format of the expected rows', async () => {
    const keys = [...new Set(EXPECTED.map(({ key }) => key))].filter((key, index) => key === SIGNAL || index % 9 === 0);
    const { status, shown, complaints } = await transform(keys.map(key => join(ARCHIVE, key)));
    expect({ status, complaints }).toEqual({ status: 0, complaints: [] });
    const expected = EXPECTED.filter(({ key }) => keys.includes(key)).sort(
      (a, b) => keys.indexOf(a.key) - keys.indexOf(b.key),
    );
    const summary = (each: Shown) => {
      const { key, line, measurement_uid, test_name } = each;
      // The Python pipeline reports a failed measurement as lost, and one without a transformer as ok.
      const isLost = each.status === 'lost' || each.status === 'failed';
      return { key, line, measurement_uid, test_name, isLost, rows: rowCounts(each) };
    };
    expect(shown.map(summary)).toEqual(expected.map(summary));
    expect(shown.filter(({ status }) => status === 'failed').every(({ error }) => /^\w+: ./.test(error!))).toBe(true);
    const row = shown.find(({ key }) => key === SIGNAL)!.tables.obs_web![0]!;
    expect(row.bucket_date).toBe('2023-05-30');
    expect(row).not.toHaveProperty('created_at');
    expect(row).not.toHaveProperty('run_generation');
  });

  it('reads posts, with the uid from their names, and reports skipped files', async () => {
    const line = gunzipSync(readFileSync(join(ARCHIVE, SIGNAL)))
      .toString()
      .split('\n')[0];
    const uid = '20230530181234.567890_US_signal_0123456789abcdef';
    const tar = await tarOf([
      [`2023053018_US_signal.n1.0/${uid}.post`, `{"format":"json","content":${line}}`],
      ['2023053018_US_signal.n1.0/old.post', '{"format":"yaml","content":"x"}'],
      ['2023053018_US_signal.n1.0/broken.post', '{"format":"json","content":{"a"'],
    ]);
    const { path, root } = place(SIGNAL.replace('.jsonl.gz', '.tar.gz'), gzipSync(tar));
    const { shown } = await transform([path], { root });
    expect(
      shown.map(({ line, measurement_uid, status, error }) => [line, measurement_uid, status, error?.split(':')[0]]),
    ).toEqual([
      [1, uid, 'ok', undefined],
      [2, 'old', 'skipped', 'UnsupportedPost'],
      [3, 'broken', 'failed', 'BrokenPost'],
    ]);
    const plain = EXPECTED.find(({ key }) => key === SIGNAL)!;
    expect(rowCounts(shown[0]!)).toEqual(rowCounts(plain));
    expect(shown[0]!.tables.obs_web!.every(row => row.measurement_uid === uid)).toBe(true);
  });

  it('reads JSON lines from standard input and from any file, gzipped or not', async () => {
    const lines = gunzipSync(readFileSync(join(ARCHIVE, SIGNAL))).toString();
    const fromInput = await transform(['-'], { bucketDate: '2020-01-02' }, lines);
    expect(fromInput.shown[0]).toMatchObject({ key: '-', line: 1, status: 'ok' });
    expect(fromInput.shown[0]!.tables.obs_web![0]!.bucket_date).toBe('2020-01-02');
    for (const content of [lines, gzipSync(lines)]) {
      const { path, root } = place('mine/measurement.json', content);
      const { shown } = await transform([path], { root });
      expect(shown[0]).toMatchObject({ key: 'mine/measurement.json', status: 'ok' });
      expect(shown[0]!.tables.obs_web![0]!.bucket_date).toBe('1984-01-01');
    }
  });

  it('continues after a missing or damaged file, and returns 1', async () => {
    const { path } = place('cut.jsonl.gz', readFileSync(join(ARCHIVE, SIGNAL)).subarray(0, -20));
    const { status, shown, complaints } = await transform(['/nowhere.jsonl.gz', path, join(ARCHIVE, SIGNAL)]);
    expect(status).toBe(1);
    expect(complaints).toEqual([
      expect.stringContaining('/nowhere.jsonl.gz cannot be read'),
      expect.stringContaining('is damaged; 0 measurements were read: broken gzip'),
    ]);
    expect(shown.some(({ key }) => key === SIGNAL)).toBe(true);
  });

  it('gives the reason why a measurement is skipped', async () => {
    const document = (change: object) =>
      JSON.stringify({
        ...JSON.parse(
          gunzipSync(readFileSync(join(ARCHIVE, SIGNAL)))
            .toString()
            .split('\n')[0]!,
        ),
        ...change,
      });
    const { shown } = await transform(
      ['-'],
      {},
      `${document({ test_keys: {} })}\n${document({ test_name: 'unheard_of' })}\n`,
    );
    expect(shown.map(({ status, reason }) => [status, reason])).toEqual([
      ['skipped', 'test_keys is missing or empty'],
      ['unsupported', 'the test has no transformer'],
    ]);
  });

  it.each([
    ['a directory', () => temporaryDirectory(), /cannot be read: it is a directory; name the files in it$/],
    ['an empty file', () => place('x.jsonl', '').path, /x.jsonl holds no measurements$/],
    ['a bucket', () => 's3://bucket', /s3:\/\/bucket cannot be read: it is not an object; write s3:\/\/bucket\/key/],
    ['no bucket', () => 's3://', /cannot be read: it is not an object/],
    ['a bucket with a wrong name', () => 's3://Bucket/key', /must be a directory or s3:\/\/bucket/],
  ])('prints one sentence for %s', async (_, file, sentence) => {
    const { status, shown, complaints } = await transform([file()]);
    expect(complaints).toEqual([expect.stringMatching(sentence)]);
    expect({ status, shown }).toEqual({ status: _ === 'an empty file' ? 0 : 1, shown: [] });
  });

  it('names an IP database that cannot be used', async () => {
    const { root } = place('20210101-ip2country_as.mmdb', 'no database');
    const { status, complaints } = await transform([join(ARCHIVE, SIGNAL)], { geoip: root });
    expect(status).toBe(1);
    expect(complaints[0]).toContain('20210101-ip2country_as.mmdb');
  });

  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, '../main.ts'), ...args], { encoding: 'utf8' });

  it('runs as a program: usage errors end it with status 2, help with 0', () => {
    expect(run('transform')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("missing required argument 'files'"),
    });
    expect(run('transform', '--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('--bucket-date') });
  });

  it('ends without an error when its reader leaves', () => {
    const program = join(import.meta.dirname, '../main.ts');
    const big = join(ARCHIVE, 'raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.1.jsonl.gz');
    const command = `'${process.execPath}' '${program}' transform --root '${ARCHIVE}' '${big}' | head -n 1; echo "\${PIPESTATUS[0]}" >&2`;
    const { stdout, stderr } = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
    expect((JSON.parse(stdout) as Shown).line).toBe(1);
    expect(stderr).toBe('0\n');
  });
});
