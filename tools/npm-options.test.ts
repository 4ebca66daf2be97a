import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

/** Runs npm as a user would who forgets the two dashes. The last arguments would make the program end at once. */
function npm(...args: string[]): { status: number | null; stderr: string } {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
  return spawnSync('npm', args, { cwd: `${import.meta.dirname}/..`, env, encoding: 'utf8' });
}

test.each([
  [['start', '--clean', '--', '--help'], 'npm start -- --clean'],
  [['start', '--port-offset', '1000', '--', '--help'], 'npm start -- --port-offset'],
  [['start', '--no-kubernetes', '--', '--help'], 'npm start -- --no-kubernetes'],
  [['test', '--quick', '--', '--version'], 'npm test -- --quick'],
])('npm %j is rejected, and the message has the right form', (args, form) => {
  const { status, stderr } = npm(...args);
  expect(stderr).toContain(`Write the options after two dashes: ${form}`);
  expect(status).toBe(2);
});

test('options after two dashes reach the program', () => {
  expect(npm('start', '--', '--clean', '--help').status).toBe(0);
});
