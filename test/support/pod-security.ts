interface SecurityContext {
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly procMount?: string;
  readonly seccompProfile?: { readonly type?: string };
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
}
interface Container {
  readonly name: string;
  readonly securityContext?: SecurityContext;
  readonly ports?: readonly { readonly hostPort?: number }[];
}
export interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly securityContext?: SecurityContext & { readonly sysctls?: readonly unknown[] };
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly Readonly<Record<string, unknown>>[];
}

/** Volume types of the restricted standard. */
const VOLUMES = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
];

/** Returns the violations of the restricted Pod Security Standard of Kubernetes in a pod. */
export function restrictionsBroken(pod: PodSpec): string[] {
  const broken: string[] = [];
  const own = pod.securityContext ?? {};
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC'] as const) if (pod[field]) broken.push(field);
  if (own.sysctls?.length) broken.push('sysctls');
  for (const volume of pod.volumes ?? []) {
    const type = Object.keys(volume).find(key => key !== 'name');
    if (!type || !VOLUMES.includes(type)) broken.push(`volume ${volume.name} is of type ${type}`);
  }
  for (const { name, securityContext: its = {}, ports = [] } of [...pod.containers, ...(pod.initContainers ?? [])]) {
    const say = (what: string) => broken.push(`${name}: ${what}`);
    if (its.privileged) say('privileged');
    if (its.allowPrivilegeEscalation !== false) say('allowPrivilegeEscalation is not false');
    if (its.procMount && its.procMount !== 'Default') say('procMount');
    if (!(its.runAsNonRoot ?? own.runAsNonRoot)) say('runAsNonRoot is not true');
    if ((its.runAsUser ?? own.runAsUser) === 0) say('runAsUser is 0');
    if (!['RuntimeDefault', 'Localhost'].includes((its.seccompProfile ?? own.seccompProfile)?.type ?? ''))
      say('seccompProfile');
    if (!its.capabilities?.drop?.includes('ALL')) say('capabilities.drop does not contain ALL');
    if (its.capabilities?.add?.some(capability => capability !== 'NET_BIND_SERVICE')) say('capabilities.add');
    if (ports.some(port => port.hostPort)) say('hostPort');
  }
  return broken;
}
