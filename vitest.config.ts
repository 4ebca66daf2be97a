import { defineConfig } from 'vitest/config';

/** Each project is one kind of test; `npm test` runs all of them but the clusters and the benchmarks. */
export default defineConfig({
  test: {
    reporters: ['default', './tools/closing-line.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{crds,pipeline,worker,operator,clickhouse,cli,local,superset,tools}/**/*.test.ts'],
          testTimeout: 20_000,
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
          hookTimeout: 120_000,
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'stack',
          sequence: { groupOrder: 2 },
          retry: process.env.CI ? 2 : 0,
          include: ['test/stack/**/*.test.ts'],
          testTimeout: 300_000,
          fileParallelism: false,
        },
      },
      { test: { name: 'fidelity', include: ['test/fidelity/**/*.test.ts'], testTimeout: 300_000 } },
    ],
  },
});
