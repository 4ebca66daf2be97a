import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';

/** What `npm test -- --quick` runs against real servers: the rules of the API, a run from archive to rows, and the Kubernetes client. */
const QUICK = ['crds', 'runs', 'kube-client'].map(name => `test/integration/${name}.test.ts`);

/** Each project is one kind of test; `npm test` runs all of them but the clusters and the benchmarks. */
export default defineConfig({
  test: {
    reporters: ['default', './tools/closing-line.ts'],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            '{crds,pipeline,temporal,worker,operator,clickhouse,cli,local,superset,tools}/**/*.test.ts',
            'test/bench/**/*.test.ts',
          ],
          testTimeout: 100_000,
          // The first import of all commands takes seconds, and more than ten on a loaded machine.
          hookTimeout: 100_000,
          // They share nothing but modules, and to load these anew for each file takes longer than the tests.
          isolate: false,
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'integration',
          sequence: { groupOrder: 1 },
          include: process.env.TEST_QUICK ? QUICK : ['test/{integration,faults}/**/*.test.ts'],
          globalSetup: ['test/support/servers.ts'],
          testTimeout: 600_000,
          // Long enough for a slow machine; the default is one second.
          expect: { poll: { timeout: 100_000 } },
          setupFiles: ['test/support/drop-databases.ts'],
          hookTimeout: 300_000,
          // Most of them mostly wait: for a lease to end, a retry, a schedule.
          maxWorkers: 4,
          maxConcurrency: 6,
        },
      },
      {
        test: {
          name: 'stack',
          sequence: { groupOrder: 1 },
          include: ['test/stack/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          maxWorkers: 4,
        },
      },
      {
        test: {
          name: 'dashboards',
          // Alone: a browser and Superset need the processors, and give up what takes too long.
          sequence: { groupOrder: 2 },
          include: ['test/dashboards/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          maxWorkers: 1,
        },
      },
      { test: { name: 'fidelity', include: ['test/fidelity/**/*.test.ts'], testTimeout: 600_000, maxWorkers: 2 } },
    ],
  },
});
