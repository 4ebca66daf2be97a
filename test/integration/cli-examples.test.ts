import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { CLI_EXAMPLES } from '../../tools/cli-examples.ts';
import { missingLine } from '../support/doc-blocks.ts';

const dir = mkdtempSync(join(tmpdir(), 'cli-examples-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

// The examples name the fixtures as a user of a clone does, and keep their data beside them.
symlinkSync(join(process.cwd(), 'test'), join(dir, 'test'));

describe('the examples of docs/cli.md, one after another', () => {
  test.each(Object.entries(CLI_EXAMPLES))('%s', (_, { args, output }) => {
    const { CLICKHOUSE_URL: __, ...rest } = process.env;
    const env = { ...rest, CLICKHOUSE_URL: 'embedded:data', COLUMNS: '100', NO_COLOR: '1' };
    const program = [join(process.cwd(), 'cli/main.ts'), ...args];
    const { status, stdout, stderr } = spawnSync(process.execPath, program, { cwd: dir, env, encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    expect(missingLine(output, stdout + stderr), stdout + stderr).toBeUndefined();
  });
});
