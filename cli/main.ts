#!/usr/bin/env node
/**
 * Runs oonipipeline, the command line interface of the pipeline. Works without Kubernetes.
 *
 *     node cli/bin/oonipipeline.mjs <command> [options]
 *
 * Exit status: 0 success, 1 failure (standard error has the cause), 2 the command line is wrong.
 */
// Statements of an embedded ClickHouse run on the threads of libuv's pool, which is created at first use. With its usual four threads, file
// operations would have to wait for statements.
process.env.UV_THREADPOOL_SIZE ??= '16';
const [{ runProgram }, { createProgram }] = await Promise.all([import('./run-program.ts'), import('./program.ts')]);
await runProgram(createProgram);
