import { INSTALLATION_LABEL } from '../../crds/resource.ts';
import type { CacheOptions } from '../kube/cache.ts';
import type { Client } from '../kube/client.ts';
import { NotFoundError } from '../kube/errors.ts';
import type { KubeObject, Resource, Stored } from '../kube/resource.ts';

const labelOf = ({ metadata }: KubeObject) => metadata.labels?.[INSTALLATION_LABEL];

/**
 * Returns the cache options that select the resources of an installation: those with its label and, if `claimsUnlabelled`, those without
 * a label.
 */
export function installationScope(
  installation: string,
  claimsUnlabelled: boolean,
): Pick<CacheOptions, 'select' | 'labelSelector'> {
  // A label selector cannot express "this value or none".
  if (claimsUnlabelled) return { select: object => [undefined, installation].includes(labelOf(object)) };
  return { labelSelector: `${INSTALLATION_LABEL}=${installation}` };
}

/** Returns whether a resource belongs to no installation yet. */
export function needsClaim(object: KubeObject): boolean {
  return labelOf(object) === undefined;
}

/** Marks of a resource that belongs to an installation. */
interface Marks {
  readonly installation: string;
  /** Finalizer of the kind; a resource that is being deleted does not get it. */
  readonly finalizer?: string;
}

/**
 * Labels a resource with the installation and adds the finalizer, in one request and before any effect. The patch includes the
 * resourceVersion, so of two operators that claim the same resource one succeeds and the other gets a ConflictError. Does nothing when the
 * resource is gone.
 */
export async function claim<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  object: Stored<T>,
  { installation, finalizer }: Marks,
  signal: AbortSignal,
): Promise<void> {
  const { uid, resourceVersion, deletionTimestamp, finalizers = [] } = object.metadata;
  const adds = finalizer !== undefined && !deletionTimestamp && !finalizers.includes(finalizer);
  const metadata = {
    uid,
    resourceVersion,
    labels: { [INSTALLATION_LABEL]: installation },
    ...(adds && { finalizers: [...finalizers, finalizer] }),
  };
  try {
    await client.patch(resource, object.metadata, { metadata }, { signal });
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
  }
}
