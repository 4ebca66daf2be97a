#!/usr/bin/env node
/**
 * Runs `kubectl ooni`, a plugin of kubectl: kubectl finds the program `kubectl-ooni` on PATH.
 *
 *     node cli/bin/kubectl-ooni.mjs <command> [options]
 *
 * Exit status: 0 success, 1 failure (standard error has the cause), 2 the command line is wrong.
 */
import { createKubectlProgram } from './kubectl/program.ts';
import { runProgram } from './run-program.ts';

await runProgram(createKubectlProgram);
