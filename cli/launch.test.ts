import { spawnSync } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { expect, test } from 'vitest';
import packageJson from '../package.json' with { type: 'json' };

/** First major versions of Node that start the programs, and that run TypeScript. */
const OLDEST = 20;
const NODE = 24;

/** Returns a Node of this machine that is too old for the programs; undefined without one. */
function oldNode(): string | undefined {
  const found = (process.env.PATH ?? '').split(delimiter).map(folder => join(folder, 'node'));
  return found.find(path => {
    const { stdout } = spawnSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' });
    const major = Number.parseInt(stdout ?? '', 10);
    return major >= OLDEST && major < NODE;
  });
}

/** The launcher is plain JavaScript without types. */
const { runsPrograms } = await import(new URL('./bin/launch.mjs', import.meta.url).href);

test.each([
  ['20.19.0', false],
  ['24.4.1', false],
  ['24.5.0', true],
  ['24.21.0', true],
  ['26.0.0', true],
])('Node %s runs the programs: %s', (version, expected) => {
  expect(runsPrograms(version)).toBe(expected);
});

const old = oldNode();

test.skipIf(!old).each(['oonipipeline', 'kubectl-ooni'])(
  '%s, started by an older Node, runs on the Node of the package',
  name => {
    const program = join(import.meta.dirname, `bin/${name}.mjs`);
    const { status, stdout, stderr } = spawnSync(old as string, [program, '--version'], { encoding: 'utf8' });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: `${packageJson.version}\n`, stderr: '' });
  },
);
