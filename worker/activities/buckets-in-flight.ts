import type { Client } from '@temporalio/client';
import { type BackfillInput, WORKFLOWS } from '../contract.ts';

/**
 * Returns the buckets of an installation and a filter that runs process now. Temporal shows a run in this list about a second after its
 * start.
 */
export async function bucketsInFlight(
  client: Client,
  { installation, filterID }: Pick<BackfillInput, 'installation' | 'filterID'>,
): Promise<ReadonlySet<string>> {
  const query = `WorkflowType = '${WORKFLOWS.bucket}' AND OoniInstallation = '${installation}' AND OoniFilter = '${filterID}' AND ExecutionStatus = 'Running'`;
  const buckets = new Set<string>();
  for await (const { searchAttributes } of client.workflow.list({ query })) {
    const [bucket] = (searchAttributes.OoniBucket ?? []) as string[];
    if (bucket) buckets.add(bucket);
  }
  return buckets;
}
