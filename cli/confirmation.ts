import { createInterface } from 'node:readline/promises';

/**
 * Asks a question on the terminal before something is changed. Returns true for yes, and with `--yes`. Without a terminal to ask on it
 * returns false, and says that `--yes` is needed.
 */
export async function confirmed(command: string, question: string, { yes }: { yes?: boolean }): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY) {
    console.error(`${command}: standard input is not a terminal to confirm on; add --yes. Nothing was changed.`);
    return false;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${question} [y/N] `);
    if (/^y(es)?$/i.test(answer.trim())) return true;
    console.error('Nothing was changed.');
    return false;
  } finally {
    terminal.close();
  }
}
