#!/usr/bin/env node
/**
 * Runs `kubectl ooni`, a plugin of kubectl: kubectl finds the program `kubectl-ooni` on PATH.
 *
 *     node cli/kubectl-ooni.ts <command> [options]
 *
 * Exit status: 0 success, 1 failure (standard error has the cause), 2 the command line is wrong.
 */
import { cacheCompiledCode } from './compile-cache.ts';

cacheCompiledCode();
const [{ runProgram }, { createKubectlProgram }] = await Promise.all([
  import('./run-program.ts'),
  import('./kubectl/program.ts'),
]);
await runProgram(createKubectlProgram);
