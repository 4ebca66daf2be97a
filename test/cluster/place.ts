import { chmodSync, copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { findOnPath, StartError } from '../../local/process.ts';
import { KUBERNETES_VERSION, TEMPORAL_VERSION } from '../../local/programs/releases.ts';
import { cacheFolder, programPath } from '../../local/programs.ts';
import { command } from './command.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** The one-node cluster without a container engine, beside the repository. */
const LAB = join(ROOT, '..', 'shared', 'lab', 'cluster');
const TEMPORAL_IMAGE = `docker.io/temporalio/temporal:${TEMPORAL_VERSION}`;
/** Volume in the lab, and its folder there. */
const VOLUME = 'ooni-cluster-test';
const KIND_CLUSTER = 'ooni-pipeline';
/** Maximum time in which the lab builds its programs, starts and makes its images, and that of one of its later commands, milliseconds. */
const LAB_TIMEOUT = 30 * 60_000;

/** The cluster of `../shared/lab` did not start, for a reason outside of this project. */
export class LabError extends StartError {
  override name = 'LabError';
}

/** A cluster, and how images and connections get into it. */
export interface Place {
  readonly name: string;
  readonly kubeconfig: string;
  /** Address of this machine that pods reach. */
  readonly host: string;
  /** Image of the pipeline that the nodes can pull, if the user names one. Then none is built. */
  readonly given?: string;
  /** Whether the nodes pull public images from their registries. */
  readonly pullsPublicImages: boolean;
  /** Builds a Dockerfile over a folder, and brings the image onto the nodes. */
  image(name: string, dockerfile: string, context: string): Promise<void>;
  /** Provides a volume for a claim, on a cluster without a provisioner. */
  volume?(namespace: string, claim: string): Promise<void>;
  /** Stops what `open` started. */
  close(): Promise<void>;
}

/**
 * Opens a cluster: with `kind` a new or existing kind cluster; otherwise that of KUBECONFIG with the image and address that CLUSTER_IMAGE and
 * CLUSTER_HOST name, or the cluster of `../shared/lab`. Throws StartError with a remedy, LabError when that cluster does not start.
 */
export async function openPlace(kind: boolean): Promise<Place> {
  if (kind) return openKind();
  if (process.env.KUBECONFIG) return openGiven(process.env.KUBECONFIG);
  if (existsSync(LAB)) return openLab();
  throw new StartError('There is no cluster: set KUBECONFIG, or run "npm run kind", which makes one with Docker.');
}

/** Uses a cluster that somebody else runs. */
async function openGiven(kubeconfig: string): Promise<Place> {
  const { CLUSTER_HOST: host, CLUSTER_IMAGE: given } = process.env;
  if (!host || !given) {
    throw new StartError(
      'KUBECONFIG names a cluster. Set CLUSTER_IMAGE to an image of the pipeline that its nodes can pull, and CLUSTER_HOST to the address at which its pods reach this machine.',
    );
  }
  return {
    name: kubeconfig,
    kubeconfig,
    host,
    given,
    pullsPublicImages: true,
    image: async () => {},
    close: async () => {},
  };
}

async function openLab(): Promise<Place> {
  const lab = (args: readonly string[], timeout = LAB_TIMEOUT) => command(LAB, args, { show: true, timeout });
  seedLab();
  const wasUp = /^kube-apiserver runs/m.test(await command(LAB, ['status']));
  const state = process.env.LAB_STATE || '/var/lib/ooni-lab';
  const kubeconfig = join(state, 'admin.kubeconfig');
  const kubectl = (args: readonly string[], stdin?: string) =>
    command(programPath('kubectl'), args, { env: { KUBECONFIG: kubeconfig }, ...(stdin && { stdin }) });
  const folder = join(state, 'volumes', VOLUME);
  const removeVolume = async () => {
    await kubectl(['delete', 'persistentvolume', VOLUME, '--ignore-not-found']);
    rmSync(folder, { recursive: true, force: true });
  };
  const close = async () => {
    if (wasUp) await removeVolume();
    else await lab(['down']);
  };
  try {
    const end = performance.now() + LAB_TIMEOUT;
    const left = () => Math.max(1, end - performance.now());
    await obtainNft(left());
    if (!wasUp) await lab(['up'], left());
    const images = join(LAB, '..', 'images');
    await command(images, ['node', 'distroless', 'temporal'], { show: true, timeout: left() });
    await lab(['push', TEMPORAL_IMAGE], left());
  } catch (error) {
    await close().catch(() => {});
    throw new LabError(`The cluster of ../shared/lab did not start: ${(error as Error).message}`);
  }
  return {
    name: 'the cluster of ../shared/lab',
    kubeconfig,
    host: '10.97.0.1',
    ...(process.env.CLUSTER_IMAGE && { given: process.env.CLUSTER_IMAGE }),
    pullsPublicImages: false,
    image: async (name, dockerfile, context) => {
      await lab(['build', name, '-f', dockerfile, context]);
    },
    volume: async (namespace, name) => {
      await removeVolume();
      mkdirSync(folder, { recursive: true });
      // The volumes of the lab are folders of root, which pods of other users cannot write.
      chmodSync(folder, 0o777);
      await kubectl(
        ['apply', '-f', '-'],
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'PersistentVolume',
          metadata: { name: VOLUME },
          spec: {
            storageClassName: 'standard',
            capacity: { storage: '20Gi' },
            accessModes: ['ReadWriteOnce'],
            persistentVolumeReclaimPolicy: 'Retain',
            claimRef: { namespace, name },
            hostPath: { path: folder },
          },
        }),
      );
    },
    close,
  };
}

/** Installs the program with which kube-proxy makes Services reachable. The lab installs its other packages in the same way. */
async function obtainNft(timeout: number): Promise<void> {
  if (findOnPath('nft') || existsSync('/usr/sbin/nft')) return;
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeout };
  await command('apt-get', ['update', '-qq'], options);
  await command('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'nftables'], options);
}

/**
 * Gives the lab the programs that the tests have already built. They are the same versions, and each build takes minutes. The program with the control
 * plane chooses its part by the name with which it is called, so the lab gets a script for each part.
 */
function seedLab(): void {
  const bin = join(
    process.env.LAB_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ooni-lab'),
    'bin',
  );
  mkdirSync(bin, { recursive: true });
  for (const name of ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const) {
    const target = join(bin, `${name}-${KUBERNETES_VERSION}`);
    const program = join(cacheFolder(name), name);
    if (existsSync(target) || !existsSync(program)) continue;
    writeFileSync(target, `#!/bin/sh\nexec ${program} "$@"\n`, { mode: 0o755 });
  }
  const target = join(bin, `temporal-${TEMPORAL_VERSION}`);
  const program = join(cacheFolder('temporal'), 'temporal');
  if (!existsSync(target) && existsSync(program)) copyFileSync(program, target);
}

async function openKind(): Promise<Place> {
  for (const [name, where] of [
    ['kind', 'https://kind.sigs.k8s.io'],
    ['docker', 'https://docs.docker.com/engine/install'],
  ] as const) {
    if (!findOnPath(name)) throw new StartError(`There is no ${name} on PATH; install it: ${where}`);
  }
  const kubeconfig = join(ROOT, '.ooni', 'kind.kubeconfig');
  mkdirSync(join(ROOT, '.ooni'), { recursive: true });
  const clusters = (await command('kind', ['get', 'clusters'])).split('\n');
  if (clusters.includes(KIND_CLUSTER)) {
    await command('kind', ['export', 'kubeconfig', '--name', KIND_CLUSTER, '--kubeconfig', kubeconfig]);
  } else {
    const args = ['create', 'cluster', '--name', KIND_CLUSTER, '--kubeconfig', kubeconfig, '--wait', '5m'];
    await command('kind', args, { show: true });
  }
  const load = (image: string) =>
    command('kind', ['load', 'docker-image', image, '--name', KIND_CLUSTER], { show: true });
  await command('docker', ['pull', '--quiet', TEMPORAL_IMAGE], { show: true });
  await load(TEMPORAL_IMAGE);
  const gateways = await command('docker', [
    'network',
    'inspect',
    'kind',
    '--format',
    '{{range .IPAM.Config}}{{.Gateway}}{{"\\n"}}{{end}}',
  ]);
  const host = gateways.split('\n').find(address => /^\d+\.\d+\.\d+\.\d+$/.test(address));
  if (!host)
    throw new StartError(
      'The Docker network "kind" has no IPv4 gateway; delete it (docker network rm kind), and run again.',
    );
  return {
    name: `the kind cluster ${KIND_CLUSTER}`,
    kubeconfig,
    host,
    pullsPublicImages: true,
    image: async (name, dockerfile, context) => {
      await command('docker', ['build', '-f', dockerfile, '-t', name, context], { show: true });
      await load(name);
    },
    // The cluster stays for its user: kind delete cluster --name ooni-pipeline.
    close: async () => {},
  };
}
