import Table from 'cli-table3';
import { StartError } from '../../local/process.ts';
import { interrupted } from './command.ts';

interface Row {
  readonly step: string;
  readonly seconds: number;
  readonly result: 'ok' | 'FAILED' | 'ended' | 'not run';
  readonly detail: string;
}

/**
 * Runs named steps in order, and keeps what each of them found. After a failure or an interruption the remaining steps do not run: they
 * depend on it.
 */
export class Steps {
  readonly rows: Row[] = [];
  /** Error of the step that failed or was interrupted. */
  error: Error | undefined;

  /** Runs a step. `work` returns a phrase with its findings. */
  async step(name: string, work: () => Promise<string>): Promise<void> {
    this.error ??= interrupted();
    if (this.error) {
      this.rows.push({ step: name, seconds: 0, result: 'not run', detail: '' });
      return;
    }
    process.stdout.write(`${name} ... `);
    const start = performance.now();
    const seconds = () => (performance.now() - start) / 1000;
    try {
      const detail = await work();
      this.rows.push({ step: name, seconds: seconds(), result: 'ok', detail });
      console.log(`ok, ${seconds().toFixed(1)} s  ${detail}`);
    } catch (error) {
      this.error = error as Error;
      const result = error === interrupted() ? 'ended' : 'FAILED';
      const detail = (error as Error).message;
      this.rows.push({ step: name, seconds: seconds(), result, detail: detail.split('\n')[0]! });
      const shown = error instanceof StartError ? detail : ((error as Error).stack ?? detail);
      console.log(`${result} after ${seconds().toFixed(1)} s\n${shown}`);
    }
  }

  get failed(): boolean {
    return this.rows.some(({ result }) => result === 'FAILED');
  }

  /** Prints the table and the line `N passed, N failed`. */
  print(): void {
    const table = new Table({
      chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
      head: ['Step', 'Time', 'Result', ''],
      style: { head: [], border: [] },
      wordWrap: true,
      colWidths: [48, 10, 10, 80],
    });
    for (const { step, seconds, result, detail } of this.rows) {
      table.push([step, result === 'not run' ? '' : `${seconds.toFixed(1)} s`, result, detail]);
    }
    const count = (result: Row['result']) => this.rows.filter(row => row.result === result).length;
    console.log(`\n${table}\n`);
    const others = (['ended', 'not run'] as const).filter(result => count(result) > 0);
    const counts = others.map(result => `, ${count(result)} ${result}`).join('');
    console.log(`${count('ok')} passed, ${count('FAILED')} failed${counts}`);
  }
}
