import { Context } from '@temporalio/activity';
import { nextBucket } from '../../pipeline/bucket.ts';
import { readHistory } from '../../pipeline/ledger/history.ts';
import { activity } from './activity.ts';
import { describeRun } from './describe-run.ts';
import type { ActivityTools } from './tools.ts';
import type { OtherRunActivities } from './types.ts';

/** Returns the activities that look at runs of other workflows. */
export function otherRunActivities(tools: ActivityTools): OtherRunActivities {
  const { clickhouse } = tools;
  return {
    describeRun: run => activity(tools, run, () => describeRun(Context.current().client, run)),

    needsRun: run =>
      activity(tools, run, async signal => {
        const { bucket, filter, filterID, stages } = run;
        const query = { filter, filterID, stages, from: bucket, before: nextBucket(bucket) };
        return !(await readHistory(clickhouse, query, signal)).of(bucket).completed;
      }),
  };
}
