import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** Returns the JSON line that a program logs. */
function logged(code: string): Record<string, unknown> {
  const script = `
    import { createLogger } from './pipeline/telemetry/log.ts';
    const log = createLogger('test', { log_level: 'info', log_format: 'json' });
    ${code}`;
  const run = ['--input-type=module-typescript', '--eval', script];
  const { stderr } = spawnSync(process.execPath, run, { cwd: join(import.meta.dirname, '../..'), encoding: 'utf8' });
  return JSON.parse(stderr);
}

test('a line has level and time in a form that people can read', () => {
  const line = logged('log.warn({ reason: "why" }, "what");');
  expect(line).toMatchObject({ level: 'warn', name: 'test', reason: 'why', msg: 'what' });
  expect(line.time).toMatch(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/);
});

test('an error of the Temporal SDK keeps name, message and cause', () => {
  const line = logged(`
    const cause = Object.assign(new TypeError('there is no directory /archive'), { type: 'ArchiveMissing' });
    log.warn({ error: new Error('Activity task failed', { cause }) }, 'Workflow failed');`);
  expect(line.error).toEqual({
    name: 'Error',
    message: 'Activity task failed',
    cause: { name: 'TypeError', type: 'ArchiveMissing', message: 'there is no directory /archive' },
  });
});

const HOSTILE = 'a\x1b[31m\x9b2J\r\x08\u202eb\tc\\u001b ünï';

test('control characters from a probe are shown on a terminal and have no effect', () => {
  const script = `
    import { createLogger } from './pipeline/telemetry/log.ts';
    const log = createLogger('test', { log_level: 'info', log_format: 'human' });
    log.warn(${JSON.stringify({ field: 'f\x1b[1m' })}, ${JSON.stringify(HOSTILE)});`;
  const run = ['--input-type=module-typescript', '--eval', script];
  const { stderr } = spawnSync(process.execPath, run, { cwd: join(import.meta.dirname, '../..'), encoding: 'utf8' });
  expect(stderr).toContain('a\\u001b[31m\\u009b2J\\r\\b\\u202eb\tc\\u001b ünï');
  expect(stderr).toContain('field: "f\\u001b[1m"');
  expect(stderr.match(/(?![\n\t])[\p{Cc}\u202e]/gu)).toBeNull();
});
