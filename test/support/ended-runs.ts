import { noCounts } from '../../pipeline/counts.ts';
import type { RunInput, RunResult } from '../../worker/contract.ts';

/* Workflows of a worker: the real backfill, with runs that end at once. Each has read one measurement. */
export { BackfillWorkflow } from '../../worker/workflows/backfill-workflow.ts';

export async function BucketWorkflow({ bucket }: RunInput): Promise<RunResult> {
  return { bucket, generation: 1, counts: { ...noCounts(), read: 1 }, analysedDays: [] };
}
