// Plain JavaScript, so that Node need not load what strips types before it can use the cache.
// A named import would be an error on a Node that does not have it.
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Lets Node keep compiled code, and TypeScript without its types, in the user's cache directory, which halves the time until a command
 * starts. Not in the directory for temporary files, which is Node's default: another user of the machine could put code there. Without a
 * directory that can be written, Node compiles every time.
 */
export function cacheCompiledCode() {
  module.enableCompileCache?.(
    join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ooni-pipeline', 'compiled'),
  );
}
