import type { Counts } from '../counts.ts';
import type { SharedIpMetadata } from '../reference/ip-metadata.ts';
import type { BatchTask, Checkpoint } from '../runs/batch.ts';
import type { ClassifiedError } from '../runs/failure.ts';
import type { Settings } from '../settings.ts';

/** What a thread is born with. Settings stay within the process: they hold credentials. */
export interface ThreadData {
  readonly settings: Settings;
}

export type ToThread =
  | {
      readonly type: 'run';
      readonly task: BatchTask;
      /** Names the IP databases, so that a thread keeps those it has; they come along when it has others. */
      readonly ipKey: string;
      readonly ip?: SharedIpMetadata;
    }
  | { readonly type: 'cancel' };

/** Only counters cross, and how it ended. */
export type FromThread =
  | { readonly type: 'progress'; readonly counts: Counts }
  | { readonly type: 'checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly type: 'retry'; readonly message: string; readonly attempt: number; readonly wait: number }
  | { readonly type: 'done'; readonly counts: Counts }
  | { readonly type: 'cancelled' }
  | { readonly type: 'failed'; readonly judged: ClassifiedError };
