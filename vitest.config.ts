import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';

/** Each project is one kind of test; `npm test` runs all of them but the clusters and the benchmarks. */
export default defineConfig({
  test: {
    reporters: ['default', './tools/closing-line.ts'],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{crds,pipeline,temporal,worker,operator,clickhouse,cli,local,superset,tools}/**/*.test.ts'],
          testTimeout: 20_000,
          // They share nothing but modules, and to load these anew for each file takes longer than the tests.
          isolate: false,
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'integration',
          sequence: { groupOrder: 1 },
          // Many real servers on a small machine: what a starved one fails is tried again there; the log tells of it.
          retry: process.env.CI ? 2 : 0,
          include: ['test/{integration,faults}/**/*.test.ts'],
          globalSetup: ['test/support/servers.ts'],
          testTimeout: 120_000,
          setupFiles: ['test/support/drop-databases.ts'],
          hookTimeout: 120_000,
          // Most of them mostly wait: for a lease to end, a retry, a schedule.
          maxWorkers: 4,
          maxConcurrency: 6,
        },
      },
      {
        test: {
          name: 'stack',
          sequence: { groupOrder: 1 },
          retry: process.env.CI ? 2 : 0,
          include: ['test/stack/**/*.test.ts'],
          testTimeout: 300_000,
          maxWorkers: 4,
        },
      },
      { test: { name: 'fidelity', include: ['test/fidelity/**/*.test.ts'], testTimeout: 300_000, maxWorkers: 2 } },
    ],
  },
});
