import type { Command } from 'commander';
import { SpecError } from '../../crds/resource.ts';
import { NAMESPACES } from '../../operator/kube/builtin.ts';
import { Client } from '../../operator/kube/client.ts';
import { connectionSource, KubeConfigError } from '../../operator/kube/config.ts';
import { ConflictError, ForbiddenError, KubeError, NotFoundError } from '../../operator/kube/errors.ts';
import { Http } from '../../operator/kube/http.ts';
import type { KubeObject, Resource, Stored } from '../../operator/kube/resource.ts';
import { TemporalError } from '../../operator/temporal/errors.ts';
import { withExitStatus } from '../exit-status.ts';
import { missingNamespace, withNamespaceNamed } from '../missing-namespace.ts';
import { namespaceName, notEmpty, path } from '../names.ts';

/** Options of every command of kubectl ooni, with the names that kubectl has. */
export interface ClusterOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

/** A connection to the cluster of a command. */
export interface Cluster {
  readonly client: Client;
  readonly server: string;
  /** Namespace of the option or of the context. */
  readonly namespace: string;
  readonly options: ClusterOptions;
}

/** Adds the options of kubectl that choose the cluster. */
export function withClusterOptions(command: Command): Command {
  return command
    .option('--kubeconfig <file>', 'kubeconfig; KUBECONFIG or ~/.kube/config unless given', path)
    .option('--context <name>', 'context of the kubeconfig; the current one unless given', notEmpty)
    .option('-n, --namespace <name>', 'namespace; that of the context unless given', namespaceName);
}

/** Returns whether the API server does not know the kind of a request. */
function isMissingKind(error: unknown): boolean {
  return error instanceof NotFoundError && /the server could not find the requested resource/.test(error.message);
}

/**
 * Throws NotFoundError with a sentence if a namespace does not exist: the API server lists the resources of such a namespace as empty. Does
 * not throw if the user may not read namespaces.
 */
export async function requireNamespace(client: Pick<Client, 'find'>, namespace: string): Promise<void> {
  const found = await client.find(NAMESPACES, { name: namespace }).catch((error: unknown) => {
    if (error instanceof ForbiddenError) return 'unknown';
    throw error;
  });
  if (!found) throw missingNamespace(namespace);
}

/** Reads the resource with a name that the user gave. Throws NotFoundError with a sentence when the namespace does not have it. */
export async function resourceNamed<T extends KubeObject>(
  { client, namespace }: Pick<Cluster, 'client' | 'namespace'>,
  resource: Resource<T>,
  name: string,
): Promise<Stored<T>> {
  try {
    return await client.get(resource, { namespace, name });
  } catch (error) {
    if (!(error instanceof NotFoundError) || isMissingKind(error)) throw error;
    await requireNamespace(client, namespace);
    throw new NotFoundError(`${resource.kind.toLowerCase()}/${name}`, error.status, {
      message: `namespace ${namespace} has no such ${resource.kind}`,
    });
  }
}

/** Number of patches that a change of the status may meet. An active resource gets a new status every few seconds. */
const PATCHES = 10;

/**
 * Patches a resource whose spec has not changed since `object` was read, also if its status has. Throws ConflictError with a sentence if
 * somebody has changed the spec.
 */
export async function patchUnchanged<T extends KubeObject>(
  client: Pick<Client, 'patch' | 'get'>,
  resource: Resource<T>,
  object: Stored<T>,
  patch: { readonly metadata?: object; readonly spec?: object },
  options: { readonly dryRun: boolean },
): Promise<void> {
  const { name, namespace, uid, generation } = object.metadata;
  const ref = { name, ...(namespace !== undefined && { namespace }) };
  let { resourceVersion } = object.metadata;
  for (let attempt = 1; ; attempt++) {
    try {
      await client.patch(resource, ref, { ...patch, metadata: { ...patch.metadata, resourceVersion } }, options);
      return;
    } catch (error) {
      if (!(error instanceof ConflictError) || attempt === PATCHES) throw error;
      const { metadata: now } = await client.get(resource, ref);
      if (now.uid !== uid || now.generation !== generation) {
        throw new ConflictError(`${resource.kind.toLowerCase()}/${name}`, error.status, {
          message: 'somebody has changed it meanwhile, and nothing was done; look at it, and repeat the command',
        });
      }
      resourceVersion = now.resourceVersion;
    }
  }
}

/** Runs the work of a command with a connection to the cluster, and uses its result as the exit status. */
export function withCluster(
  name: string,
  options: ClusterOptions,
  work: (cluster: Cluster) => Promise<number>,
): Promise<void> {
  return withExitStatus(
    name,
    async () => {
      const source = connectionSource({
        ...(options.kubeconfig && { kubeconfig: options.kubeconfig }),
        ...(options.context && { context: options.context }),
      });
      const { server, namespace } = await source();
      const http = new Http(source, { userAgent: 'kubectl-ooni' });
      try {
        const client = new Client(http, { fieldManager: 'kubectl-ooni' });
        return await work({ client, server, namespace: options.namespace ?? namespace, options });
      } catch (error) {
        if (!isMissingKind(error)) throw withNamespaceNamed(error);
        throw new KubeConfigError(
          `the cluster at ${server} does not have the kinds of pipeline.ooni.org; install the CRDs`,
        );
      } finally {
        await http.close();
      }
    },
    { program: 'kubectl ooni', expected: [KubeError, KubeConfigError, SpecError, TemporalError] },
  );
}
