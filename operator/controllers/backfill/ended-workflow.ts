import type { BackfillSpec } from '../../../crds/backfill.ts';
import { byteSize } from '../../../pipeline/byte-size.ts';
import { sentence } from '../../../pipeline/sentence.ts';
import type { BackfillProgress, SkipReason } from '../../../worker/contract.ts';
import type { BackfillState, EndedBackfill } from '../../temporal/backfills.ts';
import { shorten } from '../blocked.ts';
import type { DesiredCondition } from '../conditions.ts';
import type { Warning } from '../warnings.ts';
import { ended } from './end.ts';
import type { BackfillPlan, Idle } from './plan-types.ts';
import { afterDryRun, start } from './start.ts';

/** A valid Backfill whose workflow has ended. */
interface Finished extends Idle {
  readonly workflow: EndedBackfill;
}

/** Decides about a valid Backfill whose workflow has ended. */
export function planEnded(finished: Finished): BackfillPlan {
  const { spec, workflow, now } = finished;
  const attempt = Math.max(workflow.result?.attempt ?? 1, workflow.attempt);
  const phase = workflow.result?.phase;
  if (spec.cancel === 'None' && spec.attempt > attempt) {
    const beginning = phase === 'Complete' || phase === 'Failed' ? 'FailedOnes' : 'Missing';
    return start(finished, beginning, workflow.startedAt);
  }
  if (phase === 'Planned' && !spec.dryRun) return afterDryRun(finished);
  const finishedAt = workflow.result?.finishedAt ? Date.parse(workflow.result.finishedAt) : workflow.endedAt;
  return ended(spec, ending(workflow), finishedAt, now);
}

/** Returns the condition Complete or Failed, with its reason. */
function ending({ result, ending: word, message }: EndedBackfill): DesiredCondition {
  if (!result) {
    const text = `The workflow did not reach its end: ${sentence(shorten(message ? `${word}: ${message}` : word))} Increase spec.attempt to start it again.`;
    return { type: 'Failed', status: 'True', reason: 'WorkflowFailed', message: text };
  }
  const { phase, succeeded, failed, skipped, total } = result;
  const why = skippedFor(result);
  const counts = `${succeeded} of ${total} buckets succeeded, ${failed} failed, ${skipped} were skipped${why ? ` (${why})` : ''}`;
  if (phase === 'Planned') {
    const size = result.plan?.bytes === undefined ? '' : ` (${byteSize(result.plan.bytes)} of the archive)`;
    return {
      type: 'Complete',
      status: 'True',
      reason: 'Planned',
      message: `${result.plan?.toRun ?? 0} of ${total} buckets would be run${size}, ${skipped} skipped${why ? ` (${why})` : ''}; set spec.dryRun to false to start them.`,
    };
  }
  if (phase === 'Cancelled')
    return { type: 'Failed', status: 'True', reason: 'Cancelled', message: `Cancelled: ${counts}.` };
  if (phase === 'Complete')
    return { type: 'Complete', status: 'True', reason: 'AllBucketsDone', message: `${counts}.` };
  return {
    type: 'Failed',
    status: 'True',
    reason: 'BucketsFailed',
    message: `${counts}. Increase spec.attempt to process the failed ones again.`,
  };
}

/** Reasons in the order in which a text lists them. */
const SKIP_REASONS: readonly SkipReason[] = ['Completed', 'FailedBefore', 'Empty', 'InFlight', 'Incomplete'];

/** Returns the reasons of skipped buckets as text: `29 Completed, 7 FailedBefore`. Undefined when none were skipped or the plan is unknown. */
export function skippedFor({ plan }: BackfillProgress): string | undefined {
  const skipped = plan?.skipped ?? {};
  // A plan lists them in the order of their first buckets, which differs between two plans.
  const reasons = SKIP_REASONS.filter(reason => (skipped[reason] ?? 0) > 0);
  return reasons.length === 0 ? undefined : reasons.map(reason => `${skipped[reason]} ${reason}`).join(', ');
}

/** Returns warnings about a result that probably differs from the intent. */
export function outcomeWarnings(spec: BackfillSpec, workflow: BackfillState): Warning[] {
  if (workflow.state !== 'ended' || !workflow.result || workflow.result.phase !== 'Complete') return [];
  const { succeeded, counts, plan } = workflow.result;
  const { Completed = 0, FailedBefore = 0, InFlight = 0, Incomplete: _, ...others } = plan?.skipped ?? {};
  const warnings: Warning[] = [];
  if (FailedBefore > 0) {
    const message = `${bucketsWere(FailedBefore)} skipped because the last run failed; another Backfill with reprocess: Failed processes what failed.`;
    warnings.push({ reason: 'FailedBefore', message });
  }
  if (InFlight > 0) {
    const message = `${bucketsWere(InFlight)} skipped because another run was processing the same bucket, and that run may fail. When it has ended, another Backfill with reprocess: Failed processes what is not done.`;
    warnings.push({ reason: 'InFlight', message });
  }
  const looked = succeeded + Object.values<number>(others).reduce((sum, count) => sum + count, 0);
  const all = Completed + FailedBefore + InFlight === 0;
  if (spec.stages.includes('Observations') && counts.files === 0 && looked > 0 && all) {
    const message =
      'No object of the archive matched the range, probeCC and testNames. Check them, and the archive of the workers.';
    warnings.push({ reason: 'NothingMatched', message });
  }
  return warnings;
}

function bucketsWere(count: number): string {
  return count === 1 ? '1 bucket was' : `${count} buckets were`;
}
