import { BACKFILL } from './backfill.ts';
import { PIPELINE_SCHEDULE } from './pipeline-schedule.ts';
import type { Kind } from './resource.ts';
import { WORKER_POOL } from './worker-pool.ts';

export const KINDS: readonly Kind[] = [PIPELINE_SCHEDULE, BACKFILL, WORKER_POOL];
