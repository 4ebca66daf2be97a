import { MockActivityEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadSettings } from '../../pipeline/settings.ts';
import { installTracing } from '../../pipeline/telemetry/otel.ts';
import { activity } from '../../worker/activities/activity.ts';
import type { ActivityTools } from '../../worker/activities/tools.ts';
import { activityTracing } from '../../worker/tracing.ts';
import { silent } from '../support/database.ts';
import { eventually } from '../support/operator.ts';
import { OtlpCollector } from '../support/otlp-collector.ts';

let collector: OtlpCollector;

beforeAll(async () => {
  collector = await OtlpCollector.start();
  installTracing(collector.endpoint, { service: 'ooni-worker', installation: 'test', instance: 'a' }, () => {});
});

afterAll(() => collector?.stop());

test('a collector has what an activity waits for before the activity ends', async () => {
  const settings = loadSettings({ INSTALLATION: 'test' });
  const run = { installation: 'test', bucket: '2023-11-27', filterID: 'ALLCCS-ALLTNS' };
  const environment = new MockActivityEnvironment(
    { activityType: 'observeBatch' },
    { interceptors: [activityTracing] },
  );
  const named = (name: string) => collector.spans.filter(span => span.name === name);
  await environment.run(
    (key: { readonly run: typeof run }) =>
      activity({ settings, log: silent } as ActivityTools, key.run, async (_, { wait }) => {
        wait.note({ reason: 'ClickHouseUnavailable', message: 'the text of a measurement' }, 0);
        const [shown] = await eventually(async () => {
          const spans = named('wait ClickHouseUnavailable');
          return spans.length > 0 && spans;
        });
        expect(shown).toMatchObject({
          service: 'ooni-worker',
          failed: true,
          attributes: {
            'ooni.bucket': run.bucket,
            'ooni.filter': run.filterID,
            'ooni.stage': 'Observations',
            'ooni.step': 'observeBatch',
            'ooni.state': 'waiting',
            'ooni.reason': 'ClickHouseUnavailable',
          },
        });
        expect(named('activity observeBatch')).toEqual([]);
      }),
    { run },
  );
  const [ended] = await eventually(async () => {
    const spans = named('activity observeBatch');
    return spans.length > 0 && spans;
  });
  for (const wait of named('wait ClickHouseUnavailable')) {
    expect([wait.traceID, wait.parentID]).toEqual([ended!.traceID, ended!.spanID]);
  }
  expect(JSON.stringify(collector.spans)).not.toContain('the text of a measurement');
});
