import { arch, cpus, hostname, platform, release, totalmem } from 'node:os';
import { LEASES } from '../../operator/kube/builtin.ts';
import type { Client } from '../../operator/kube/client.ts';
import { AlreadyExistsError, NotFoundError } from '../../operator/kube/errors.ts';
import { apiVersionOf } from '../../operator/kube/resource.ts';
import { NODES } from './resources.ts';

export interface NodeFacts {
  readonly name: string;
  readonly hostIP: string;
  /** Port of the HTTPS endpoint. */
  readonly port: number;
}

const LEASE_NAMESPACE = 'kube-node-lease';
const LEASE_SECONDS = 40;

/** Creates the Node object, or updates that of an earlier run, and reports the node as ready. */
export async function registerNode(client: Client, { name, hostIP, port }: NodeFacts): Promise<void> {
  const labels = {
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': ({ x64: 'amd64' } as Record<string, string>)[arch()] ?? arch(),
  };
  try {
    await client.create(NODES, { metadata: { name, labels }, spec: {} });
  } catch (error) {
    if (!(error instanceof AlreadyExistsError)) throw error;
  }
  const now = new Date().toISOString();
  const condition = (type: string, status: string, reason: string, message: string) => ({
    type,
    status,
    reason,
    message,
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  });
  const room = { cpu: String(cpus().length), memory: `${Math.floor(totalmem() / 1024)}Ki`, pods: '110' };
  await client.patch(
    NODES,
    { name },
    {
      status: {
        capacity: room,
        allocatable: room,
        addresses: [
          { type: 'InternalIP', address: hostIP },
          { type: 'Hostname', address: name },
        ],
        daemonEndpoints: { kubeletEndpoint: { Port: port } },
        conditions: [
          condition('MemoryPressure', 'False', 'NotMeasured', 'processes share the memory of the machine'),
          condition('DiskPressure', 'False', 'NotMeasured', 'processes share the disks of the machine'),
          condition('PIDPressure', 'False', 'NotMeasured', 'processes share the process numbers of the machine'),
          condition('Ready', 'True', 'NodeReady', 'pods run as local processes'),
        ],
        nodeInfo: {
          architecture: labels['kubernetes.io/arch'],
          operatingSystem: 'linux',
          osImage: `${hostname()} (${platform()})`,
          kernelVersion: release(),
          containerRuntimeVersion: `process://${process.version}`,
          kubeletVersion: `v1.33.4-ooni.local`,
          kubeProxyVersion: '',
          machineID: '',
          systemUUID: '',
          bootID: '',
        },
      },
    },
    { subresource: 'status' },
  );
}

/** Renews the node's Lease. While it is fresh, the control plane regards the node as alive. */
export async function renewLease(client: Client, name: string): Promise<void> {
  const ref = { namespace: LEASE_NAMESPACE, name };
  const spec = {
    holderIdentity: name,
    leaseDurationSeconds: LEASE_SECONDS,
    renewTime: new Date().toISOString().replace('Z', '000Z'),
  };
  try {
    await client.patch(LEASES, ref, { spec });
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
    const node = await client.get(NODES, { name });
    const ownerReferences = [{ apiVersion: apiVersionOf(NODES), kind: NODES.kind, name, uid: node.metadata.uid }];
    await client.create(LEASES, { metadata: { ...ref, ownerReferences }, spec });
  }
}
