import { expect, test } from 'vitest';
import { RunMetrics } from './metrics.ts';

test('metrics count the progress of checkpoints, without the part that an earlier attempt has counted', async () => {
  const metrics = new RunMetrics();
  const counts = (read: number) => ({
    ...{ files: 1, bytes: 100, read, transformed: read, skipped: 0, failed: 0, unsupported: 0 },
    rows: { obs_web: 2 * read },
  });
  const batch = metrics.watchBatch(counts(10));
  batch.reached(counts(15));
  batch.reached(counts(30));
  const text = await metrics.registry.metrics();
  expect(text).toContain('ooni_measurements_total{status="transformed"} 20');
  expect(text).toContain('ooni_rows_total{table="obs_web"} 40');
  expect(text).toContain('ooni_batches_active 1');
  batch.end();
  expect(await metrics.registry.metrics()).toContain('ooni_batches_active 0');
});

test('a worker without work has measurements of each status as zero, because Prometheus does not count the first value of a series', async () => {
  const text = await new RunMetrics().registry.metrics();
  for (const status of ['transformed', 'skipped', 'failed', 'unsupported']) {
    expect(text).toContain(`ooni_measurements_total{status="${status}"} 0`);
  }
});
