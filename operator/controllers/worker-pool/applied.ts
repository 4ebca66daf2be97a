import { canonical } from '../../hash.ts';
import type { Deployment } from '../../kube/builtin.ts';
import { APPLIED } from './deployment.ts';
import { covers } from './overlay.ts';

/** An applied Deployment and the generation that the API server gave it. */
export interface Applied {
  readonly uid: string | undefined;
  readonly generation: number | undefined;
  readonly replicas: number;
  readonly hash: string | undefined;
}

/** Returns the record of an applied Deployment and of the answer of the API server. */
export function appliedOf(target: Deployment, answer: Deployment): Applied {
  return {
    uid: answer.metadata.uid,
    generation: answer.metadata.generation,
    replicas: target.spec?.replicas ?? 0,
    hash: target.metadata.annotations?.[APPLIED],
  };
}

/**
 * Returns whether the Deployment is as desired. The API server writes some values in another form (`cpu: 2` becomes "2", an empty value
 * is left out), so an applied Deployment is compared by hash and generation. Before the first apply it is compared by content.
 */
export function inForce(live: Deployment, target: Deployment, applied: Applied | undefined): boolean {
  if (covers(live, target)) return true;
  if (!covers({ ...live, spec: undefined }, { ...target, spec: undefined })) return false;
  return applied !== undefined && canonical(applied) === canonical(appliedOf(target, live));
}
