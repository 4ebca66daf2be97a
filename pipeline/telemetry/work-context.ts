import { AsyncLocalStorage } from 'node:async_hooks';

/** The Backfill or PipelineSchedule that work is for. */
export interface ResourceName {
  readonly kind: string;
  /** Absent: a command made it in Temporal, without a resource in Kubernetes. */
  readonly namespace?: string;
  readonly name: string;
}

/**
 * The work that the current code does. Logs and spans have these fields, and ClickHouse's query log has them in `log_comment`, so that one
 * bucket can be followed through all programs.
 */
export interface WorkContext {
  /** Absent: a run of a command. */
  readonly resource?: ResourceName;
  /** Range of a backfill that is being planned; `endAt` is exclusive. */
  readonly range?: { readonly startAt: string; readonly endAt: string };
  /** Bucket and filter of a run; absent for a plan. */
  readonly bucket?: string;
  readonly filter?: string;
  /** Id of the workflow, or of the run of a command. */
  readonly run: string;
  readonly stage?: string;
}

const current = new AsyncLocalStorage<WorkContext>();

/** Calls `work` so that the logs and ClickHouse statements in it, also the later ones, name this work. */
export function inWork<T>(context: WorkContext, work: () => T): T {
  return current.run(context, work);
}

/** Calls `work` as a stage of the current run. */
export function inStage<T>(stage: string, work: () => T): T {
  const run = current.getStore();
  return run ? current.run({ ...run, stage }, work) : work();
}

/** Returns the work that the current code does, if there is one. */
export function currentWork(): WorkContext | undefined {
  return current.getStore();
}
