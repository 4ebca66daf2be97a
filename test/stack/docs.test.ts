import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { programPath } from '../../local/programs.ts';
import { portsFrom } from '../../local/stack.ts';
import { type Block, blocksOf, missingLine } from '../support/doc-blocks.ts';
import { freeOffset } from '../support/free-offset.ts';
import { interruptProgram } from '../support/program.ts';

/**
 * Runs every command block of README and docs in order against a stack started by `npm start`, and compares the shape of the output with
 * the block after the command. docs/spec describes data and has no commands.
 */
const PAGES = ['README.md', ...globSync('docs/*.md').sort()];
const blocks = PAGES.flatMap(page => blocksOf(page, readFileSync(page, 'utf8')));
/** Languages of blocks that the test runs or compares, and of those that are only read. */
const RUN = ['sh', 'text', 'sql'];
const SHOWN = ['yaml', 'mermaid'];
const at = ({ page, line }: Block) => `${page}:${line}`;

let dir: string;
let offset: number;
let stack: ChildProcess | undefined;
let stackOutput = '';
let clickhouse: ReturnType<typeof createClient>;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-docs-'));
  offset = await freeOffset();
  clickhouse = createClient({ url: `http://127.0.0.1:${portsFrom(offset).clickhouse}` });
  const exports = [
    // The user of a clone has the programs of npm start, and no settings.
    `export PATH=${join(process.cwd(), 'node_modules/.bin')}:${dirname(programPath('temporal'))}:$PATH`,
    `export TEMPORAL_ADDRESS=127.0.0.1:${portsFrom(offset).temporal}`,
    'unset CLICKHOUSE_URL KUBECONFIG',
  ];
  writeFileSync(join(dir, 'env'), `${exports.join('\n')}\n`);
});

afterAll(async () => {
  await clickhouse?.close();
  await interruptProgram(stack);
  rmSync(dir, { recursive: true, force: true });
}, 120_000);

/** Adapts a command of the docs to the ports and the data of this test. */
function here(command: string): string {
  return command
    .replaceAll(/\b(6443|7233|8123|8233)\b/g, port => String(Number(port) + offset))
    .replaceAll('embedded:.ooni/', `embedded:${dir}/`);
}

/** Runs commands as a user would type them, with the variables that earlier blocks have set. */
async function shell(commands: string): Promise<{ status: number | null; output: string }> {
  const env = join(dir, 'env');
  // Ctrl-C ends commands that do not end by themselves.
  const typed = here(commands).replaceAll(/^(kubectl .*?)( +#.*Ctrl-C)$/gm, 'timeout -s INT 5 $1 || true$2');
  const script = `. ${env}\ntrap 'export -p > ${env}' EXIT\nset -eo pipefail\n${typed}\n`;
  const child = spawn('bash', ['-c', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => (output += text));
  const [status] = await once(child, 'close');
  return { status, output: output.replaceAll(`embedded:${dir}/`, 'embedded:.ooni/') };
}

/** Runs `npm start` until it reports that it keeps running. */
async function startStack(): Promise<string> {
  const { CLICKHOUSE_URL: _, KUBECONFIG: __, ...env } = process.env;
  const args = ['start', '--', '--data', join(dir, 'data'), '--port-offset', String(offset)];
  stack = spawn('npm', args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  await new Promise<void>((resolve, reject) => {
    for (const stream of [stack!.stdout!, stack!.stderr!]) {
      stream.setEncoding('utf8').on('data', text => {
        stackOutput += text;
        if (stackOutput.includes('stays up')) resolve();
      });
    }
    stack!.once('exit', status => reject(new Error(`npm start ended with ${status}:\n${stackOutput}`)));
  });
  for (const [line] of stackOutput.matchAll(/^ +export .*$/gm)) await shell(line);
  return stackOutput;
}

/** Lines whose figures are those of the measurements of this repository: rows of a table, measurements, and blocked domains. */
const FIGURES =
  /^( {2}(obs|analysis|measurement)_\w+ .*| {2}verdicts .*|\d.* measurements in .*|Blocked domains: .*| {2}www\.example\.com .*)$/gm;

/** Splits a block into statements, at semicolons at line ends. */
function statementsOf(sql: string): string[] {
  return sql.split(/;\s*(?:\n|$)/).filter(statement => statement.replaceAll(/^--.*$/gm, '').trim() !== '');
}

describe('blocks of README and docs', () => {
  test('have a language, and a reason if they are not run', () => {
    const unknown = blocks.filter(({ language }) => ![...RUN, ...SHOWN].includes(language));
    expect(unknown.map(at)).toEqual([]);
    // A block of text is the output of the commands before it.
    const alone = blocks.filter(
      (block, i) => block.language === 'text' && !block.skipped && blocks[i - 1]?.language !== 'sh',
    );
    expect(alone.map(at)).toEqual([]);
  });
});

describe('a user who types every block', { timeout: 600_000 }, () => {
  let printed = '';

  const run = blocks.filter(({ language, skipped }) => !skipped && RUN.includes(language));
  test.for(run.map(block => [at(block), block] as const))('%s', async ([, block]) => {
    if (block.language === 'text') {
      expect(missingLine(block.text, printed), printed).toBeUndefined();
      for (const [line] of block.text.matchAll(FIGURES)) expect(printed).toContain(line);
      return;
    }
    if (block.language === 'sql') {
      for (const query of statementsOf(block.text)) {
        const result = await clickhouse.query({ query: query.trim(), format: 'JSONEachRow' });
        const rows = await result.json();
        if (!block.mayBeEmpty) expect(rows.length, query).toBeGreaterThan(0);
      }
      return;
    }
    if (block.text.trim() === 'npm start') {
      printed = await startStack();
      return;
    }
    const { status, output } = await shell(block.text);
    printed = output;
    if (block.fails) expect(status, output).not.toBe(0);
    else expect(status, output).toBe(0);
  });
});
