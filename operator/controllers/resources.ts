import { BACKFILL, type Backfill } from '../../crds/backfill.ts';
import { PIPELINE_SCHEDULE, type PipelineSchedule } from '../../crds/pipeline-schedule.ts';
import { GROUP, type Kind, VERSION } from '../../crds/resource.ts';
import { WORKER_POOL, type WorkerPool } from '../../crds/worker-pool.ts';
import { defineResource, type KubeObject } from '../kube/resource.ts';

function resourceOf<T extends KubeObject>(kind: Kind) {
  return defineResource<T>({ group: GROUP, version: VERSION, plural: kind.plural, kind: kind.kind, namespaced: true });
}

/** Our kinds, in the form that the client takes. */
export const BACKFILLS = resourceOf<Backfill>(BACKFILL);
export const PIPELINE_SCHEDULES = resourceOf<PipelineSchedule>(PIPELINE_SCHEDULE);
export const WORKER_POOLS = resourceOf<WorkerPool>(WORKER_POOL);
