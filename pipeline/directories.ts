import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isSystemError } from './system-error.ts';

/**
 * Creates a directory and its missing parents. `mode` applies to the directories that it creates. Throws the error of the operating system.
 *
 * Node's own `mkdirSync(path, { recursive: true })` does not return when a file system answers ENOENT below a parent that exists, as /proc
 * does: it assumes that the parent is missing, creates it, and tries again.
 */
export function makeDirectory(path: string, mode?: number): void {
  const target = resolve(path);
  const missing = [target];
  for (let parent = dirname(target); !existsSync(parent); parent = dirname(parent)) missing.unshift(parent);
  for (const directory of missing) {
    try {
      mkdirSync(directory, { mode });
    } catch (error) {
      // It already existed, or another process has just created it.
      if (!isSystemError(error) || error.code !== 'EEXIST' || !isDirectory(directory)) throw error;
    }
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
