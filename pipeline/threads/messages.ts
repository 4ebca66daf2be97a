import type { Counts } from '../counts.ts';
import type { SharedIpMetadata } from '../reference/ip-metadata.ts';
import type { BatchStage, BatchTask, Checkpoint } from '../runs/batch.ts';
import type { ClassifiedError } from '../runs/failure.ts';
import type { Settings } from '../settings.ts';
import type { PlainSpan } from '../telemetry/spans.ts';
import type { TraceParent } from '../telemetry/trace-parent.ts';
import type { WorkContext } from '../telemetry/work-context.ts';

/** Data that a thread receives at its start. Settings stay within the process, because they contain credentials. */
export interface ThreadData {
  readonly settings: Settings;
  /** Whether the thread sends spans. */
  readonly isTraced: boolean;
}

export type ToThread =
  | {
      readonly type: 'run';
      readonly task: BatchTask;
      /** Identifies the IP databases, so that a thread reuses the ones that it has. `ip` is present if the thread needs others. */
      readonly ipKey: string;
      readonly ip?: SharedIpMetadata;
      readonly work?: WorkContext;
      readonly traceParent?: TraceParent;
    }
  | { readonly type: 'cancel' };

/** Messages from a thread. They contain only counters and the outcome, no rows. */
export type FromThread =
  | { readonly type: 'progress'; readonly counts: Counts }
  | { readonly type: 'checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly type: 'span'; readonly span: PlainSpan }
  | { readonly type: 'stage'; readonly stage: BatchStage; readonly seconds: number }
  | { readonly type: 'insertError'; readonly error: string }
  | {
      readonly type: 'retry';
      /** Type of the error (`errorType`). */
      readonly reason: string;
      readonly message: string;
      readonly attempt: number;
      readonly wait: number;
    }
  | { readonly type: 'done'; readonly counts: Counts }
  | { readonly type: 'cancelled' }
  | { readonly type: 'failed'; readonly failure: ClassifiedError };
