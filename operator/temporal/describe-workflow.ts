import { type Client, type WorkflowExecutionDescription, WorkflowNotFoundError } from '@temporalio/client';
import { undefinedWhen } from './errors.ts';

/** Returns the description of the newest run of a workflow; undefined when Temporal does not have it. Throws the errors of the client. */
export function describeWorkflow(
  client: Client,
  workflowID: string,
): Promise<WorkflowExecutionDescription | undefined> {
  return client.workflow
    .getHandle(workflowID)
    .describe()
    .catch(undefinedWhen(error => error instanceof WorkflowNotFoundError));
}
