import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };

/** The npm package, installed as on a machine without the repository: the commands run from another directory, without its files. */
const FIXTURES = join(process.cwd(), 'test/fixtures');
let dir: string;

function run(command: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const path = [join(dir, 'prefix/bin'), dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(':');
  const env = { ...npmSettings(), HOME: dir, PATH: path };
  return spawnSync(command, args, { cwd: dir, env, encoding: 'utf8', maxBuffer: 1 << 26 });
}

/** Returns the settings of the registry and of a proxy. */
function npmSettings(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => /^npm_config_/i.test(name) || /^(https?|no)_proxy$/i.test(name) || name === 'NODE_EXTRA_CA_CERTS',
    ),
  );
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-package-'));
  const packed = spawnSync('npm', ['pack', '--pack-destination', dir], { encoding: 'utf8' });
  expect(packed.status, packed.stderr).toBe(0);
  const file = join(dir, `ooni-pipeline-${packageJson.version}.tgz`);
  const quiet = ['--prefer-offline', '--no-audit', '--no-fund'];
  const installed = spawnSync('npm', ['install', '--global', '--prefix', join(dir, 'prefix'), ...quiet, file], {
    cwd: dir,
    encoding: 'utf8',
  });
  expect(installed.status, installed.stderr).toBe(0);
  // As after "npm install --global chdb", without its download of 540 MB.
  symlinkSync(join(process.cwd(), 'node_modules/chdb'), join(dir, 'prefix/lib/node_modules/chdb'));
}, 600_000);

afterAll(() => rmSync(dir, { recursive: true, force: true }), 120_000);

describe('the installed package', () => {
  test('has JavaScript and no sources or tests', () => {
    const files = globSync('**/*', {
      cwd: join(dir, 'prefix/lib/node_modules/ooni-pipeline'),
      exclude: ['node_modules'],
    });
    expect(files).toContain('dist/commands/main.js');
    expect(files.filter(file => /\.ts$|\.test\.|fixtures/.test(file))).toEqual([]);
  });

  test.each(['oonipipeline', 'kubectl-ooni'])('%s shows its version and its commands', command => {
    expect(run(command, '--version')).toMatchObject({ status: 0, stdout: `${packageJson.version}\n`, stderr: '' });
    expect(run(command, '--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('status'), stderr: '' });
    expect(run(command, 'nothing').status).toBe(2);
  });

  test('oonipipeline takes measurements from an archive to verdicts, on the threads of the package', () => {
    const archive = ['--archive', join(FIXTURES, 'archive'), '--fingerprints', 'none'];
    const range = ['--start-at', '2023-05-30', '--end-at', '2023-05-31', '--probe-cc', 'US', '--test-name', 'signal'];
    const to = ['--clickhouse', `embedded:${join(dir, 'data')}`];
    const { status, stdout, stderr } = run('oonipipeline', 'run', ...archive, ...range, ...to, '-o', 'json');
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ buckets: 1, transformed: 1, verdicts: 1, bucketsFailed: [] });
  });

  test('without chdb, a command that needs it names it and makes no directory', () => {
    const chdb = join(dir, 'prefix/lib/node_modules/chdb');
    rmSync(chdb);
    try {
      const place = join(dir, 'new/data');
      const archive = join(FIXTURES, 'archive');
      const { status, stderr } = run('oonipipeline', 'run', '--archive', archive, '--clickhouse', `embedded:${place}`);
      expect(stderr).toContain('needs the npm package chdb (540 MB), which is not installed');
      expect(status).toBe(1);
      expect(existsSync(dirname(place))).toBe(false);
    } finally {
      symlinkSync(join(process.cwd(), 'node_modules/chdb'), chdb);
    }
  });

  test('workers start with the bundle of the workflows in the package', () => {
    const module = join(dir, 'prefix/lib/node_modules/ooni-pipeline/dist/worker/workflow-bundle.js');
    const script = `console.log((await import(${JSON.stringify(module)})).isBundled())`;
    expect(run('node', '--input-type=module', '-e', script)).toMatchObject({ status: 0, stdout: 'true\n' });
  });
});
