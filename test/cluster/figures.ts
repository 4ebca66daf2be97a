import { until } from './command.ts';
import type { Kube } from './kube.ts';

/** Returns the size of an image on a node, in bytes. */
export async function imageSize(kube: Kube, image: string): Promise<number | undefined> {
  const text = await kube.kubectl(['get', 'nodes', '-o', 'json']);
  const { items } = JSON.parse(text) as { items: { status: { images?: { names?: string[]; sizeBytes: number }[] } }[] };
  return items.flatMap(node => node.status.images ?? []).find(one => one.names?.includes(image))?.sizeBytes;
}

/** Returns memory and CPU of each pod of the namespace, as the kubelets report them. */
export async function usage(kube: Kube): Promise<string> {
  const nodes = await kube.list('nodes');
  interface Summary {
    pods: {
      podRef: { name: string; namespace: string };
      memory?: { workingSetBytes?: number };
      cpu?: { usageNanoCores?: number };
    }[];
  }
  return until('figures of all pods', async () => {
    const found: string[] = [];
    for (const { metadata } of nodes) {
      const text = await kube.kubectl(['get', '--raw', `/api/v1/nodes/${metadata.name}/proxy/stats/summary`]);
      for (const { podRef, memory, cpu } of (JSON.parse(text) as Summary).pods) {
        if (podRef.namespace !== kube.namespace) continue;
        if (!memory?.workingSetBytes || cpu?.usageNanoCores === undefined) return undefined;
        const name = podRef.name.replace(/-[a-z0-9]+-[a-z0-9]{5}$/, '');
        found.push(`${name} ${megabytes(memory.workingSetBytes)} ${(cpu.usageNanoCores / 1e6).toFixed(0)}m`);
      }
    }
    return found.length > 0 ? found.sort().join(', ') : undefined;
  });
}

export function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
