import protobuf from '@temporalio/proto';
import { workerDeploymentOf } from '../../worker/contract.ts';
import type { Observation } from '../observation.ts';
import type { Temporal } from './connection.ts';
import { isNotFound, isPreconditionFailed, TemporalRejected, undefinedWhen } from './errors.ts';

const { WorkerDeploymentVersionStatus: Status } = protobuf.temporal.api.enums.v1;

/**
 * State of a version of the workflow code. `current`: it gets new work, at least a part. `draining`: it gets no new work and has runs that
 * are pinned to it. `drained`: these runs have ended. `inactive`: it never got work. `unknown`: the server reports another state.
 */
export type VersionState = 'current' | 'draining' | 'drained' | 'inactive' | 'unknown';

/** Versions of the workflow code of an installation, by build id. */
export interface Versions {
  /** The version that gets new work; undefined while workers without a version get it. */
  readonly current: string | undefined;
  readonly states: ReadonlyMap<string, VersionState>;
}

const STATES: Readonly<Record<number, VersionState>> = {
  [Status.WORKER_DEPLOYMENT_VERSION_STATUS_INACTIVE]: 'inactive',
  [Status.WORKER_DEPLOYMENT_VERSION_STATUS_CREATED]: 'inactive',
  [Status.WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT]: 'current',
  [Status.WORKER_DEPLOYMENT_VERSION_STATUS_RAMPING]: 'current',
  [Status.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING]: 'draining',
  [Status.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED]: 'drained',
};

/**
 * Returns the versions of an installation with one request. They are unknown with a server that does not support them. Throws
 * TemporalUnavailable when Temporal does not answer.
 */
export async function readVersions(temporal: Temporal, installation: string): Promise<Observation<Versions>> {
  const deploymentName = workerDeploymentOf(installation);
  try {
    const value = await temporal.call(`looking up worker deployment ${deploymentName}`, async client => {
      const answer = await client.workflowService
        .describeWorkerDeployment({ namespace: temporal.namespace, deploymentName })
        // Not found: no worker with a version has asked for work yet.
        .catch(undefinedWhen(isNotFound));
      const { routingConfig, versionSummaries } = answer?.workerDeploymentInfo ?? {};
      return {
        current: routingConfig?.currentDeploymentVersion?.buildId || undefined,
        states: new Map(
          (versionSummaries ?? []).flatMap(({ deploymentVersion, status }) =>
            deploymentVersion?.buildId ? [[deploymentVersion.buildId, STATES[status ?? 0] ?? 'unknown'] as const] : [],
          ),
        ),
      };
    });
    return { known: true, value };
  } catch (error) {
    if (error instanceof TemporalRejected) return { known: false, message: error.message };
    throw error;
  }
}

/**
 * Gives new work to a version, and to no other. Returns false while no worker of the version has asked for work. Throws the errors of
 * `Temporal.write`.
 */
export function setCurrentVersion(temporal: Temporal, installation: string, buildId: string): Promise<boolean> {
  const deploymentName = workerDeploymentOf(installation);
  return temporal.write(`making ${buildId} the current version of ${deploymentName}`, async client => {
    try {
      await client.workflowService.setWorkerDeploymentCurrentVersion({
        namespace: temporal.namespace,
        deploymentName,
        buildId,
        identity: 'ooni-operator',
      });
      return true;
    } catch (error) {
      if (isNotFound(error) || isPreconditionFailed(error)) return false;
      throw error;
    }
  });
}
