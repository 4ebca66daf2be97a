import { sentence } from '../../pipeline/sentence.ts';
import { ARCHIVE_SLOW } from '../../worker/contract.ts';
import { type BlockedBy, type BlockedRun, NO_ANSWER, NO_WORKER, WORKFLOW_CODE } from '../temporal/blocked-by.ts';
import type { ReadySummary } from './conditions.ts';
import { type TemporalUI, workflowLink } from './links.ts';

/**
 * Returns the summary of a resource whose oldest active run, or whose plan, is blocked. It stays ready while the run continues by itself.
 *
 * @param bucket bucket of the run; undefined for the plan of a Backfill
 * @param rest sentence that follows
 */
export function blockedSummary({ reason, message }: BlockedBy, bucket: string | undefined, rest = ''): ReadySummary {
  const who = bucket ?? 'The plan';
  const cause = sentence(shorten(message));
  const ready = (reason: ReadySummary['reason'], text: string): ReadySummary => ({
    kind: 'ready',
    reason,
    message: `${text} ${rest}`.trimEnd(),
  });
  switch (reason) {
    case WORKFLOW_CODE: {
      const which = bucket ? `The run of ${bucket}` : 'The workflow';
      const text = `${which} does not progress, because its code fails: ${cause} Give the WorkerPools that take Workflows the former image, or a corrected one; Temporal tries again by itself.`;
      return { kind: 'failing', reason: 'WorkflowStuck', message: text };
    }
    case NO_WORKER: {
      const tasks = message === NO_ANSWER.message ? 'Workflows' : 'Activities';
      return ready('NoWorker', `${who} waits for a worker that takes ${tasks} and is not busy.`);
    }
    case ARCHIVE_SLOW:
      return ready('ArchiveSlow', `${who} waits for the archive: ${cause}`);
    default:
      return ready('Retrying', `${who} is being retried: ${reason}: ${cause}`);
  }
}

/** Returns the field `blockedBy` of a status. */
export function blockedStatus({ bucket, workflowID, reason, message }: BlockedRun, ui: TemporalUI) {
  const link = workflowLink(ui, workflowID);
  return { ...(bucket && { bucket }), reason, message: shorten(message), ...(link && { link }) };
}

/** Cuts a message for status and events. It may hold a page of stack trace. */
export function shorten(message: string): string {
  return message.slice(0, 500);
}
