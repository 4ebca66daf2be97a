import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, test } from 'vitest';
import { loadSettings } from '../../pipeline/settings.ts';
import { silent } from '../../test/support/database.ts';
import { createActivities } from './activities.ts';
import type { ActivityTools } from './tools.ts';
import type { Activities } from './types.ts';

// A worker of installation `a` that receives a task of `b` fails it before it uses archive or database, which this worker does not have.
const activities = createActivities({ settings: loadSettings({ INSTALLATION: 'a' }), log: silent } as ActivityTools);
const run = {
  installation: 'b',
  bucket: '2024-01-01',
  filter: { probeCC: [], testNames: [] },
  filterID: '',
  stages: [],
};
const key = { run, startedAt: 0, plan: 1 };
const ARGUMENTS: Record<keyof Activities, unknown[]> = {
  planRun: [key],
  observeBatch: [key, {}, {}],
  finishRun: [key, {}, {}],
  abandonRun: [key, 'Analysis', {}],
  analyse: [key, null],
  planBackfill: [run, 0],
  pageBackfill: [run, {}, null, null],
  describeRun: [run],
  needsRun: [run],
  refreshReference: [{ installation: 'b', dataset: 'asnmeta' }],
};

test.each(Object.entries(ARGUMENTS))('%s refuses a task of another installation', async (name, args) => {
  const activity = activities[name as keyof Activities] as (...args: unknown[]) => Promise<unknown>;
  const attempt = new MockActivityEnvironment().run(async () => activity(...args));
  await expect(attempt).rejects.toMatchObject({ type: 'OtherInstallation', nonRetryable: true });
});
