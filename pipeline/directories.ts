import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isSystemError } from './system-error.ts';

/**
 * Makes a directory and the parents that are missing. `mode` holds for the directories that it makes. Throws the error of the operating
 * system.
 *
 * Node's own `mkdirSync(path, { recursive: true })` does not return where a file system answers ENOENT below a parent that exists, as
 * /proc does: it takes the parent for missing, makes it, and tries again.
 */
export function makeDirectory(path: string, mode?: number): void {
  const wanted = resolve(path);
  const missing = [wanted];
  for (let parent = dirname(wanted); !existsSync(parent); parent = dirname(parent)) missing.unshift(parent);
  for (const directory of missing) {
    try {
      mkdirSync(directory, { mode });
    } catch (error) {
      // It was there before, or another process has just made it.
      if (!isSystemError(error) || error.code !== 'EEXIST' || !isDirectory(directory)) throw error;
    }
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
