#!/usr/bin/env node
/**
 * oonipipeline: what a person does with the pipeline from a terminal. Works without Kubernetes.
 *
 *     node cli/main.ts <command> [options]
 *
 * Exit status: 0 done, 1 something could not be done (standard error says what), 2 the command line is wrong.
 */
import { CommanderError } from 'commander';
import { guardStandardStreams } from './output.ts';
import { createProgram } from './program.ts';

// Statements of an embedded ClickHouse run on the threads of libuv's pool, which is made when first used; of its usual four, files would
// have to wait for statements.
process.env.UV_THREADPOOL_SIZE ??= '16';

guardStandardStreams();
try {
  await createProgram().parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  if (error.exitCode !== 0) process.exitCode = 2;
}
