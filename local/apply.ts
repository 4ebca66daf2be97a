import { globSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { KINDS } from '../crds/kinds.ts';
import { GROUP, VERSION } from '../crds/resource.ts';
import { CRDS, NAMESPACES } from '../operator/kube/builtin.ts';
import type { Client } from '../operator/kube/client.ts';
import { InvalidError, KubeError, NotFoundError } from '../operator/kube/errors.ts';
import { defineResource, type KubeObject, type Resource, type Stored } from '../operator/kube/resource.ts';
import { WORK_NAMESPACE } from '../operator/manifests.ts';
import { sentence } from '../pipeline/sentence.ts';

/** An object of a manifest, of any kind. */
type Manifest = KubeObject & { readonly spec?: unknown };

/** The kind of a manifest is misspelled, or its definition is not installed. */
class UnknownKindError extends Error {
  override name = 'UnknownKindError';
  constructor({ kind, apiVersion }: Manifest) {
    super(`the API server has no kind ${kind} in ${apiVersion}`);
  }
}

/** Milliseconds within which the API server must serve a kind after its definition is applied. */
const ESTABLISH = 60_000;

/**
 * Applies objects and overrides changes by others: these objects belong to this version of the project, not to the user. Returns a message
 * for each object that the API server rejects.
 */
export async function applyObjects(client: Client, objects: readonly object[]): Promise<string[]> {
  const warnings: string[] = [];
  for (const object of objects as Manifest[]) {
    try {
      await client.apply(builtinOf(object), object, { force: true });
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      warnings.push(`${nameOf(object)} was not applied: ${error.message}`);
    }
  }
  return warnings;
}

/** Waits until the API server has created the namespace of the examples. With new data, the server is ready some time before that. */
export async function whenNamespaceExists(client: Client, signal: AbortSignal): Promise<void> {
  while (!(await client.find(NAMESPACES, { name: WORK_NAMESPACE }))) {
    signal.throwIfAborted();
    await sleep(50);
  }
}

/** Applies the definitions of our kinds and waits until the API server serves them. Returns a message for each that it rejects. */
export async function applyDefinitions(client: Client, dir: string, signal: AbortSignal): Promise<string[]> {
  const definitions = globSync(join(dir, '*.yaml')).flatMap(file => documentsOf(file));
  const warnings = await applyObjects(client, definitions);
  const deadline = Date.now() + ESTABLISH;
  for (const { metadata } of definitions) {
    while (!(await isEstablished(client, metadata.name))) {
      signal.throwIfAborted();
      if (Date.now() > deadline) {
        warnings.push(`The API server does not offer ${metadata.name} after ${ESTABLISH / 1000} s.`);
        break;
      }
      await sleep(50);
    }
  }
  return warnings;
}

async function isEstablished(client: Client, name: string): Promise<boolean> {
  const found = await client.find(CRDS, { name });
  return found?.status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True') ?? false;
}

/** Result for the examples: names of the Backfills that exist now, and messages for the user. */
export interface Examples {
  readonly backfills: string[];
  readonly notes: string[];
}

/**
 * Creates the resources of a folder of manifests that do not exist yet. An existing resource belongs to the user and is not changed.
 * Returns a message for each manifest that differs from its resource, cannot be read, or is rejected by the API server.
 */
export async function createMissing(client: Client, dir: string, root: string): Promise<Examples> {
  const backfills: string[] = [];
  const notes: string[] = [];
  for (const file of globSync(join(dir, '*.yaml')).sort()) {
    const path = relative(root, file);
    let objects: Manifest[];
    try {
      objects = documentsOf(file);
    } catch (error) {
      notes.push(`${path} cannot be read, so it is left out: ${(error as Error).message}`);
      continue;
    }
    for (const object of objects) {
      try {
        const found = await findOrCreate(client, object);
        if (found?.metadata.deletionTimestamp) {
          notes.push(`${nameOf(object)} is being deleted. kubectl apply -f ${path} creates it again when it is gone.`);
          continue;
        }
        if (object.kind === 'Backfill') backfills.push(object.metadata.name);
        const other = found ? differences(object.spec, found.spec, 'spec') : [];
        if (other.length > 0) {
          const obstacle = await obstacleOf(client, object);
          const next = obstacle
            ? `they cannot be applied to it: ${sentence(obstacle)} Correct the file, or delete the resource first: kubectl delete ${nameOf(object)}`
            : `kubectl apply -f ${path} applies them.`;
          notes.push(`${nameOf(object)} stays as it is. ${path} has other values for ${other.join(', ')}; ${next}`);
        }
      } catch (error) {
        if (!(error instanceof KubeError || error instanceof UnknownKindError)) throw error;
        const cause = error instanceof InvalidError ? error.explanation : error.message;
        notes.push(`${nameOf(object)} of ${path} was not created: ${cause}`);
      }
    }
  }
  return { backfills, notes };
}

/** Returns why the API server would reject the spec of a manifest for its existing resource; undefined when it would not. */
async function obstacleOf(client: Client, object: Manifest): Promise<string | undefined> {
  const resource = await resourceOf(client, object);
  const { name, namespace = WORK_NAMESPACE } = object.metadata;
  const ref = resource.namespaced ? { name, namespace } : { name };
  try {
    const patched = await client.patch(resource, ref, { spec: object.spec }, { dryRun: true });
    // The server drops fields that our kinds do not have; kubectl rejects them.
    const dropped = resource.group === GROUP ? differences(object.spec, patched.spec, 'spec') : [];
    return dropped.length > 0 ? `a ${object.kind} does not have ${dropped.join(', ')}` : undefined;
  } catch (error) {
    if (error instanceof InvalidError) return error.explanation;
    throw error;
  }
}

/** Returns the existing object; undefined after it created the object. */
async function findOrCreate(client: Client, object: Manifest): Promise<Stored<Manifest> | undefined> {
  const resource = await resourceOf(client, object);
  const namespace = resource.namespaced ? (object.metadata.namespace ?? WORK_NAMESPACE) : undefined;
  const metadata = { ...object.metadata, ...(namespace && { namespace }) };
  const found = await client.find(resource, metadata);
  if (found) return found;
  // The API server holds the first create of a new definition back for two seconds, but not an apply. Without force, an apply does not
  // change values of an object that someone else has created in the meantime.
  await client.apply(resource, { ...object, metadata: withLastApplied({ ...object, metadata }) });
  return undefined;
}

/** Returns the metadata as `kubectl apply` writes them, so that the user's own `kubectl apply` continues from there. */
function withLastApplied(object: Manifest): Manifest['metadata'] {
  const { annotations = {} } = object.metadata;
  const plain = { ...object, metadata: { ...object.metadata, annotations } };
  const lastApplied = { 'kubectl.kubernetes.io/last-applied-configuration': `${JSON.stringify(plain, sortedKeys)}\n` };
  return { ...object.metadata, annotations: { ...annotations, ...lastApplied } };
}

/** Replacer for JSON.stringify: the keys of an object in the order in which kubectl writes them. */
function sortedKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Returns the paths of the values of a manifest that its object does not have. Further values of the object are defaults. */
function differences(desired: unknown, actual: unknown, path: string): string[] {
  if (typeof desired !== 'object' || desired === null || Array.isArray(desired)) {
    return isDeepStrictEqual(desired, actual) ? [] : [path];
  }
  const there = (typeof actual === 'object' && actual !== null ? actual : {}) as Record<string, unknown>;
  return Object.entries(desired).flatMap(([key, value]) => differences(value, there[key], `${path}.${key}`));
}

function documentsOf(file: string): Manifest[] {
  return parseAllDocuments(readFileSync(file, 'utf8'))
    .map(document => {
      if (document.errors[0]) throw document.errors[0];
      return document.toJS() as Manifest | null;
    })
    .filter(object => object !== null)
    .map(object => {
      if (!object.apiVersion || !object.kind || !object.metadata?.name) {
        throw new Error('a document lacks apiVersion, kind or metadata.name');
      }
      return object;
    });
}

/** Returns the name as kubectl prints it: `backfill/example`. */
function nameOf({ kind, metadata }: Manifest): string {
  return `${kind?.toLowerCase()}/${metadata.name}`;
}

/** Returns the resource of an object that `clusterObjects` creates, of our kinds or of Kubernetes' own. */
function builtinOf(object: Manifest): Resource<Manifest> {
  const plural = `${object.kind!.toLowerCase()}s`;
  return describe(object, plural, object.metadata.namespace !== undefined);
}

async function resourceOf(client: Client, object: Manifest): Promise<Resource<Manifest>> {
  const ours = object.apiVersion === `${GROUP}/${VERSION}` && KINDS.find(({ kind }) => kind === object.kind);
  if (ours) return describe(object, ours.plural, true);
  // A manifest that the user added: the API server knows its kind.
  const api = object.apiVersion!.includes('/') ? 'apis' : 'api';
  const { resources } = await client.http
    .request<{ resources: { name: string; kind: string; namespaced: boolean }[] }>({
      method: 'GET',
      path: `/${api}/${object.apiVersion}`,
    })
    .catch(error => {
      if (error instanceof NotFoundError) throw new UnknownKindError(object);
      throw error;
    });
  const known = resources.find(({ kind, name }) => kind === object.kind && !name.includes('/'));
  if (!known) throw new UnknownKindError(object);
  return describe(object, known.name, known.namespaced);
}

function describe(object: Manifest, plural: string, namespaced: boolean): Resource<Manifest> {
  const [version, group = ''] = object.apiVersion!.split('/').reverse();
  return defineResource<Manifest>({ group, version: version!, plural, kind: object.kind!, namespaced });
}
