import { recordWait } from '../../pipeline/spans.ts';
import { currentWork } from '../../pipeline/work-context.ts';
import type { Wait } from './waits.ts';

/** Milliseconds after which another span shows that a wait continues. */
const INTERVAL = 30_000;

/**
 * Records what an activity waits for as spans while it waits. The first comes at once, and then one each half minute, so a trace shows the cause
 * before the activity ends. Create it in the span of the activity, which is the parent.
 */
export class WaitSpans {
  /** `since`: end of the last recorded span. */
  #waiting: { readonly reason: string; readonly since: number } | undefined;
  readonly #recordWait: typeof recordWait;

  constructor(record = recordWait) {
    this.#recordWait = record;
  }

  /** Receives the present wait of the activity; undefined: it does not wait. */
  take(wait: Wait | undefined, now = Date.now()): void {
    const before = this.#waiting;
    const continues = wait !== undefined && before?.reason === wait.reason;
    if (continues && now - before.since < INTERVAL) return;
    if (before && now > before.since) this.#record(before.reason, before.since, now);
    if (wait && !continues) this.#record(wait.reason, now, now);
    this.#waiting = wait && { reason: wait.reason, since: now };
  }

  #record(reason: string, start: number, end: number): void {
    const { bucket, filter, stage, run } = currentWork() ?? {};
    this.#recordWait(reason, start, end, {
      ...(bucket !== undefined && { 'ooni.bucket': bucket }),
      ...(filter !== undefined && { 'ooni.filter': filter }),
      ...(stage !== undefined && { 'ooni.stage': stage }),
      ...(run !== undefined && { 'temporal.workflow_id': run }),
    });
  }
}
