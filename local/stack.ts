import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { type ClickHouseServer, startClickHouse } from './clickhouse.ts';
import { type ControlPlane, NODE_NAME, startControlPlane } from './control-plane.ts';
import { endLeftoverPods, LocalNode } from './node/node.ts';
import { endLeftovers, requirePort, type Supervised } from './process.ts';
import { requireRoom } from './programs.ts';
import { startTemporal, type TemporalServer } from './temporal.ts';

/** Ports for users: the usual ones of each server, so that tools find them without configuration. */
export interface Ports {
  readonly kubernetes: number;
  readonly temporal: number;
  readonly temporalUI: number;
  readonly clickhouse: number;
  readonly superset: number;
  /** UI and query API of Jaeger. */
  readonly traces: number;
}

/** Returns the ports of the stack: the usual one of each program, plus an offset. */
export function portsFrom(offset: number): Ports {
  return {
    kubernetes: 6443 + offset,
    temporal: 7233 + offset,
    temporalUI: 8233 + offset,
    clickhouse: 8123 + offset,
    superset: 8083 + offset,
    traces: 8088 + offset,
  };
}

/** Disk space for the servers and some days of measurements, in bytes. */
const DATA_BYTES = 2e9;

const FOLDERS = ['clickhouse', 'temporal', 'kubernetes', 'pods', 'reference', 'superset', 'jaeger'] as const;

/** Folder of the repository. The image has its content in WORKDIR. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** All running servers of the stack on one machine. */
export interface Stack {
  readonly clickhouse: ClickHouseServer;
  readonly temporal: TemporalServer;
  readonly kubernetes: ControlPlane;
  readonly processes: readonly Supervised[];
  /** Stops all started processes, pods first, each within `grace` milliseconds. */
  stop(grace?: number): Promise<void>;
}

/** Temporal with its UI and ClickHouse, without Kubernetes: the servers that `oonipipeline` needs. */
export interface Servers {
  readonly clickhouse: ClickHouseServer;
  readonly temporal: TemporalServer;
  readonly processes: readonly Supervised[];
  stop(): Promise<void>;
}

/** Removes the data of earlier starts, but no other files in the folder. */
export function cleanData(dir: string): void {
  for (const name of FOLDERS) rmSync(join(dir, name), { recursive: true, force: true });
}

/** Ends the servers and pods that a killed start left running. Returns them as `name (process 123)`. */
export async function endEarlier(dir: string): Promise<string[]> {
  const servers = FOLDERS.map(name => endLeftovers(join(dir, name)));
  return (await Promise.all([...servers, endLeftoverPods(join(dir, 'pods'))])).flat();
}

/**
 * Starts ClickHouse and Temporal on the data in `dir`. The Temporal program must already be obtained. Throws StartError as `startStack`
 * does.
 */
export async function startServers(dir: string, ports: Ports, signal?: AbortSignal): Promise<Servers> {
  requireRoom(dir, DATA_BYTES, 'the servers’ data', '--data');
  await requirePort(ports.temporal, 'Temporal');
  await requirePort(ports.temporalUI, 'the Temporal UI');
  if (!process.env.CLICKHOUSE_URL) await requirePort(ports.clickhouse, 'ClickHouse');
  const [clickhouse, temporal] = await Promise.allSettled([
    startClickHouse({ dir: join(dir, 'clickhouse'), port: ports.clickhouse, signal }),
    startTemporal({ dir: join(dir, 'temporal'), port: ports.temporal, uiPort: ports.temporalUI, signal }),
  ]);
  const stop = async () => {
    await Promise.all(
      [clickhouse, temporal].map(server => (server.status === 'fulfilled' ? server.value.stop() : undefined)),
    );
  };
  if (clickhouse.status === 'rejected' || temporal.status === 'rejected') {
    await stop();
    throw clickhouse.status === 'rejected' ? clickhouse.reason : (temporal as PromiseRejectedResult).reason;
  }
  return {
    clickhouse: clickhouse.value,
    temporal: temporal.value,
    processes: [...(clickhouse.value.process ? [clickhouse.value.process] : []), temporal.value.process],
    stop,
  };
}

/**
 * Starts ClickHouse, Temporal, the control plane and a node on the data in `dir`. Their programs must already be obtained. Throws
 * StartError with a message for a port in use, a full disk, or a server that does not start; then no process is left running.
 */
export async function startStack(dir: string, ports: Ports, signal?: AbortSignal): Promise<Stack> {
  requireRoom(dir, DATA_BYTES, 'the servers’ data', '--data');
  const named: [number, string][] = [
    [ports.kubernetes, 'the Kubernetes API server'],
    [ports.temporal, 'Temporal'],
    [ports.temporalUI, 'the Temporal UI'],
  ];
  if (!process.env.CLICKHOUSE_URL) named.push([ports.clickhouse, 'ClickHouse']);
  for (const [port, what] of named) await requirePort(port, what);
  const [clickhouse, temporal, kubernetes] = await Promise.allSettled([
    startClickHouse({ dir: join(dir, 'clickhouse'), port: ports.clickhouse, signal }),
    startTemporal({ dir: join(dir, 'temporal'), port: ports.temporal, uiPort: ports.temporalUI, signal }),
    startControlPlane({ dir: join(dir, 'kubernetes'), port: ports.kubernetes, signal }),
  ]);
  const servers = [clickhouse, temporal, kubernetes];
  const stopServers = () =>
    Promise.all(servers.map(server => (server.status === 'fulfilled' ? server.value.stop() : undefined)));
  let node: LocalNode | undefined;
  try {
    if (clickhouse.status === 'rejected') throw clickhouse.reason;
    if (temporal.status === 'rejected') throw temporal.reason;
    if (kubernetes.status === 'rejected') throw kubernetes.reason;
    node = new LocalNode({
      name: NODE_NAME,
      kubeconfig: kubernetes.value.nodeKubeconfig,
      certificate: kubernetes.value.certificate,
      dir: join(dir, 'pods'),
      workdir: ROOT,
      log: pino({ level: 'info' }, pino.destination({ dest: join(dir, 'node.log'), append: false, sync: true })),
    });
    await node.start();
  } catch (error) {
    await node?.stop(0);
    await stopServers();
    throw error;
  }
  const running = node;
  return {
    clickhouse: clickhouse.value,
    temporal: temporal.value,
    kubernetes: kubernetes.value,
    processes: [
      ...(clickhouse.value.process ? [clickhouse.value.process] : []),
      temporal.value.process,
      ...kubernetes.value.processes,
    ],
    stop: async grace => {
      await running.stop(grace);
      await stopServers();
    },
  };
}
