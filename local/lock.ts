import { linkSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, readPid, startTime } from './process.ts';

/** A file that names the process holding it. One left by a process that is gone is taken over. */
export class FileLock {
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
  }

  /** Takes the lock, waiting for its holder as long as that runs; `onWait` gets its process number once. Rejects when the signal aborts. */
  static async take(file: string, onWait: (pid: number) => void, signal?: AbortSignal): Promise<FileLock> {
    for (let waited = 0; ; waited++) {
      const holder = FileLock.tryTake(file);
      if (holder instanceof FileLock) return holder;
      if (waited === 0) onWait(holder);
      await sleep(200, undefined, { signal });
    }
  }

  /** Takes the lock, or returns the number of the process that holds it. */
  static tryTake(file: string): FileLock | number {
    const own = `${file}.${process.pid}`;
    writeFileSync(own, `${process.pid} ${startTime(process.pid) ?? ''}\n`);
    try {
      for (;;) {
        try {
          // A link appears with its contents, so nobody reads a lock that is only half written.
          linkSync(own, file);
          return new FileLock(file);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
        const holder = readPid(file);
        if (holder && isRunning(holder)) return holder.pid;
        rmSync(file, { force: true });
      }
    } finally {
      rmSync(own, { force: true });
    }
  }

  release(): void {
    rmSync(this.#file, { force: true });
  }
}
