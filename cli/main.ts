#!/usr/bin/env node
/**
 * Runs oonipipeline, the command line interface of the pipeline. Works without Kubernetes.
 *
 *     node cli/main.ts <command> [options]
 *
 * Exit status: 0 success, 1 failure (standard error has the cause), 2 the command line is wrong.
 */
import { cacheCompiledCode } from './compile-cache.ts';

// Statements of an embedded ClickHouse run on the threads of libuv's pool, which is created at first use. With its usual four threads, file
// operations would have to wait for statements.
process.env.UV_THREADPOOL_SIZE ??= '16';

// The code that is imported from here on comes from the cache.
cacheCompiledCode();
const [{ runProgram }, { createProgram }] = await Promise.all([import('./run-program.ts'), import('./program.ts')]);
await runProgram(createProgram);
