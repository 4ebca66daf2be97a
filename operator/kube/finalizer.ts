import type { CallOptions, Client } from './client.ts';
import type { KubeObject, Resource, Stored } from './resource.ts';

/**
 * Adds our finalizer and returns the object. A merge patch replaces the whole list, so the patch includes the resourceVersion; otherwise
 * a finalizer that another controller added meanwhile would be lost. Throws ConflictError in that case: reconcile again.
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

/** Removes our finalizer, after which the object may be gone. The patch includes the resourceVersion, as in `addFinalizer`. */
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
