import type { CallOptions, Client } from './client.ts';
import type { KubeObject, Resource, Stored } from './resource.ts';

/**
 * The object with our finalizer, written under its resourceVersion: a merge patch replaces the whole list, and without the lock a
 * finalizer that another controller added since would be lost. ConflictError then: reconcile again.
 */
export async function addFinalizer<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  object: Stored<T>,
  finalizer: string,
  options: CallOptions = {},
): Promise<Stored<T>> {
  const present = object.metadata.finalizers ?? [];
  if (present.includes(finalizer)) return object;
  return await writeFinalizers(client, resource, object, [...present, finalizer], options);
}

/** Takes our finalizer off, after which the object may be gone. Under its resourceVersion, as `addFinalizer`. */
export async function removeFinalizer<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  object: Stored<T>,
  finalizer: string,
  options: CallOptions = {},
): Promise<void> {
  const present = object.metadata.finalizers ?? [];
  if (!present.includes(finalizer)) return;
  await writeFinalizers(
    client,
    resource,
    object,
    present.filter(item => item !== finalizer),
    options,
  );
}

function writeFinalizers<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  object: Stored<T>,
  finalizers: string[],
  options: CallOptions,
): Promise<Stored<T>> {
  const { resourceVersion, uid } = object.metadata;
  return client.patch(resource, object.metadata, { metadata: { uid, resourceVersion, finalizers } }, options);
}
