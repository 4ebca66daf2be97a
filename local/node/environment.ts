import type { Container, PodSpec, StoredPod } from './resources.ts';

/** A container that cannot be started as specified. The message names the missing part. The node retries later, because that part may appear. */
export class ContainerConfigError extends Error {
  override name = 'ContainerConfigError';
}

/** Source of the values of ConfigMaps and Secrets. Undefined: none with that name exists. */
export interface ValueSources {
  configMap(namespace: string, name: string): Promise<Readonly<Record<string, string>> | undefined>;
  /** Returns decoded values. */
  secret(namespace: string, name: string): Promise<Readonly<Record<string, string>> | undefined>;
}

/** Facts about a pod that only its node knows. */
export interface PodFacts {
  readonly podIP: string;
  readonly hostIP: string;
}

type EnvVar = NonNullable<Container['env']>[number];

/**
 * Returns the environment variables of a container: `envFrom`, overridden by `env`, with valueFrom resolved and `$(NAME)` of earlier
 * variables expanded, as the kubelet does. Throws ContainerConfigError for a reference that cannot be resolved and is not optional.
 */
export async function containerEnvironment(
  pod: StoredPod,
  container: Container,
  facts: PodFacts,
  sources: ValueSources,
): Promise<Record<string, string>> {
  const namespace = pod.metadata.namespace ?? 'default';
  const env: Record<string, string> = {};
  for (const source of container.envFrom ?? []) {
    const kind = source.configMapRef ? 'configMap' : 'secret';
    const ref = source.configMapRef ?? source.secretRef;
    if (!ref?.name) continue;
    const values = await sources[kind](namespace, ref.name);
    if (!values && !ref.optional) throw new ContainerConfigError(`${kind.toLowerCase()} "${ref.name}" not found`);
    for (const [key, value] of Object.entries(values ?? {})) env[`${source.prefix ?? ''}${key}`] = value;
  }
  for (const variable of container.env ?? []) {
    const value = variable.valueFrom
      ? await referenced(variable.valueFrom, { pod, container, facts, sources })
      : expand(variable.value ?? '', env);
    if (value !== undefined) env[variable.name] = value;
  }
  return env;
}

/** A container and the sources of the values that its variables refer to. */
interface Referrer {
  readonly pod: StoredPod;
  readonly container: Container;
  readonly facts: PodFacts;
  readonly sources: ValueSources;
}

async function referenced(
  from: NonNullable<EnvVar['valueFrom']>,
  { pod, container, facts, sources }: Referrer,
): Promise<string | undefined> {
  const namespace = pod.metadata.namespace ?? 'default';
  if (from.fieldRef) return field(pod, from.fieldRef.fieldPath, facts);
  if (from.resourceFieldRef) return resource(container, from.resourceFieldRef);
  const kind = from.configMapKeyRef ? 'configMap' : 'secret';
  const ref = from.configMapKeyRef ?? from.secretKeyRef;
  if (!ref?.name) throw new ContainerConfigError('a variable has a valueFrom that this node does not know');
  const values = await sources[kind](namespace, ref.name);
  if (!values) {
    if (ref.optional) return undefined;
    throw new ContainerConfigError(`${kind.toLowerCase()} "${ref.name}" not found`);
  }
  const value = values[ref.key];
  if (value === undefined && !ref.optional) {
    throw new ContainerConfigError(
      `couldn't find key ${ref.key} in ${kind === 'secret' ? 'Secret' : 'ConfigMap'} ${namespace}/${ref.name}`,
    );
  }
  return value;
}

function field(pod: StoredPod, path: string, { podIP, hostIP }: PodFacts): string {
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (keyed) return pod.metadata[keyed[1] as 'labels' | 'annotations']?.[keyed[2]!] ?? '';
  const fields: Record<string, string | undefined> = {
    'metadata.name': pod.metadata.name,
    'metadata.namespace': pod.metadata.namespace,
    'metadata.uid': pod.metadata.uid,
    'spec.nodeName': pod.spec?.nodeName,
    'spec.serviceAccountName': pod.spec?.serviceAccountName,
    'status.hostIP': hostIP,
    'status.hostIPs': hostIP,
    'status.podIP': podIP,
    'status.podIPs': podIP,
  };
  const value = fields[path];
  if (value === undefined) throw new ContainerConfigError(`fieldRef ${path} is not known to this node`);
  return value;
}

/** Returns a limit or request in whole units of the divisor, rounded up. A missing limit is the capacity of the machine. */
function resource(container: Container, ref: { resource: string; divisor?: unknown }): string {
  const [kind, name] = ref.resource.split('.') as ['limits' | 'requests', string];
  const quantity = container.resources?.[kind]?.[name];
  if (quantity === undefined)
    throw new ContainerConfigError(`resourceFieldRef ${ref.resource} is not set on ${container.name}`);
  const divisor = Number(ref.divisor) === 0 || !ref.divisor ? 1 : parseQuantity(String(ref.divisor));
  return String(Math.ceil(parseQuantity(quantity) / divisor));
}

const UNITS: Readonly<Record<string, number>> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** Parses a Kubernetes quantity such as `250m` or `2Gi`. */
export function parseQuantity(text: string): number {
  const [, number, unit] = /^([\d.eE+-]+?)(m|[kMGT]|[KMGT]i)?$/.exec(text) ?? [];
  const factor = UNITS[unit ?? ''];
  if (number === undefined || factor === undefined) throw new ContainerConfigError(`"${text}" is not a quantity`);
  return Number(number) * factor;
}

/** Expands variables: `$(NAME)` becomes its value if NAME is known, and stays otherwise; `$$` becomes a dollar sign. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (match, name: string | undefined) =>
    match === '$$' ? '$' : (env[name!] ?? match),
  );
}

/** Returns why a pod cannot run as a process here because of its volumes, or undefined. */
export function unmountable(spec: PodSpec): string | undefined {
  for (const volume of spec.volumes ?? []) {
    const projected = volume.projected?.sources?.every(
      source => source.serviceAccountToken || source.configMap?.name === 'kube-root-ca.crt' || source.downwardAPI,
    );
    if (volume.emptyDir || projected) continue;
    return `volume "${volume.name}" cannot be mounted: this node runs containers as processes on one file system; give its contents by environment variables`;
  }
  return undefined;
}
