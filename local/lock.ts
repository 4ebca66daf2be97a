import { linkSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, readPid, startTime } from './process.ts';

/** A lock file that contains the process holding it. If that process is gone, the lock is free. */
export class FileLock {
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
  }

  /** Acquires the lock. Waits while its holder runs; `onWait` gets the holder's process id once. Rejects when the signal aborts. */
  static async take(file: string, onWait: (pid: number) => void, signal?: AbortSignal): Promise<FileLock> {
    for (let waited = 0; ; waited++) {
      const holder = FileLock.tryTake(file);
      if (holder instanceof FileLock) return holder;
      if (waited === 0) onWait(holder);
      await sleep(200, undefined, { signal });
    }
  }

  /** Acquires the lock, or returns the id of the process that holds it. */
  static tryTake(file: string): FileLock | number {
    const own = `${file}.${process.pid}`;
    writeFileSync(own, `${process.pid} ${startTime(process.pid) ?? ''}\n`);
    try {
      for (;;) {
        try {
          // A link appears together with its content, so no process reads a half-written lock.
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
