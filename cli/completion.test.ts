import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { completionScript, SHELLS, type Shell } from './completion.ts';
import { createProgram } from './program.ts';

const dir = mkdtempSync(join(tmpdir(), 'completion-'));
const file = (shell: Shell) => join(dir, shell);
const hasShell = (shell: Shell) => spawnSync(shell, ['-c', 'exit 0']).status === 0;

beforeAll(async () => {
  const program = await createProgram('all');
  for (const shell of SHELLS) writeFileSync(file(shell), completionScript(program, shell));
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Returns the words that bash offers for a line whose last word is not complete. */
function offeredByBash(...line: string[]): string[] {
  const script = `source ${file('bash')}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _oonipipeline; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', 'oonipipeline', ...line], { encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.split('\n').filter(word => word !== '');
}

/** Returns the words that fish offers. */
function offeredByFish(line: string): string[] {
  const script = `source ${file('fish')}; complete -C ${JSON.stringify(line)}`;
  const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', script], { encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.split('\n').flatMap(each => (each === '' ? [] : [each.split('\t')[0] as string]));
}

describe('completion in bash', () => {
  test.each([
    [['ba'], ['backfill']],
    [['check'], ['checkdb', 'check-duplicates']],
    [['run', '--start'], ['--start-at']],
    [
      ['run', '--granularity', ''],
      ['Day', 'Hour'],
    ],
    [['backfill', '--probe-cc', 'IT', '--order', 'N'], ['NewestFirst']],
    [['completion', 'z'], ['zsh']],
    // The value of such an option is free or a file: bash itself offers the files.
    [['run', '--archive', ''], []],
  ])('of oonipipeline %j', (line, expected) => {
    expect(offeredByBash(...line)).toEqual(expected);
  });

  test('offers every command and its options', async () => {
    const { commands } = await createProgram('all');
    expect(offeredByBash('')).toEqual(expect.arrayContaining(commands.map(command => command.name())));
    for (const command of commands) {
      const options = command.options.flatMap(({ long, hidden }) => (long && !hidden ? [long] : []));
      expect(offeredByBash(command.name(), '--')).toEqual(expect.arrayContaining(options));
    }
  });
});

describe.runIf(hasShell('fish'))('completion in fish', () => {
  test.each([
    ['oonipipeline ba', ['backfill']],
    ['oonipipeline run --start', ['--start-at']],
    ['oonipipeline run --granularity ', ['Day', 'Hour']],
    ['oonipipeline completion z', ['zsh']],
  ])('of %s', (line, expected) => {
    expect(offeredByFish(line)).toEqual(expected);
  });
});

describe.runIf(hasShell('zsh'))('completion in zsh', () => {
  test('is a valid script that registers itself', () => {
    const script = `autoload -Uz compinit && compinit -u -d ${join(dir, 'dump')}; source ${file('zsh')}; print -r -- $_comps[oonipipeline]`;
    const { stdout, stderr } = spawnSync('zsh', ['-f', '-c', script], {
      encoding: 'utf8',
      env: { ...process.env, HOME: dir },
    });
    expect({ stdout, stderr }).toEqual({ stdout: '_oonipipeline\n', stderr: '' });
  });

  test('completes a command, an option and a value on a terminal', () => {
    const driver = `
      zmodload zsh/zpty
      zpty -b shell zsh -f -i
      zpty -w shell "PS1= ; autoload -Uz compinit && compinit -u -d ${join(dir, 'dump')}; source ${file('zsh')}; print REA''DY"
      zpty -r -m shell all '*READY*'
      zpty -w -n shell $1$'\\t'
      zpty -r -m shell all "*$2*" && print -r -- "$2"
      zpty -d shell`;
    for (const [line, expected] of [
      ['oonipipeline backf', 'oonipipeline backfill'],
      ['oonipipeline run --start', '--start-at'],
      ['oonipipeline run --granularity H', '--granularity Hour'],
    ] as const) {
      const { stdout } = spawnSync('zsh', ['-f', '-c', driver, 'zsh', line, expected], {
        encoding: 'utf8',
        timeout: 60_000,
        env: { ...process.env, HOME: dir, TERM: 'dumb' },
      });
      expect(stdout).toBe(`${expected}\n`);
    }
  });
});
