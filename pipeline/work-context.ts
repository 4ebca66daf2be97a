import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * The part of a run that the current code works on. Logs have these fields, and ClickHouse's query log has them in `log_comment`, so that
 * one bucket can be followed through all programs.
 */
export interface WorkContext {
  readonly bucket: string;
  readonly filter: string;
  /** Id of the workflow, or of the run of a command. */
  readonly run: string;
  readonly stage?: string;
}

const current = new AsyncLocalStorage<WorkContext>();

/** Calls `work` so that the logs and ClickHouse statements in it, also the later ones, name the part of the run. */
export function inWork<T>(context: WorkContext, work: () => T): T {
  return current.run(context, work);
}

/** Calls `work` as a stage of the current run. */
export function inStage<T>(stage: string, work: () => T): T {
  const run = current.getStore();
  return run ? current.run({ ...run, stage }, work) : work();
}

/** Returns the part of a run that the current code works on, if there is one. */
export function currentWork(): WorkContext | undefined {
  return current.getStore();
}
