import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { findOnPath, StartError } from '../../local/process.ts';
import { KUBERNETES_VERSION, TEMPORAL_VERSION } from '../../local/programs/releases.ts';
import { cacheFolder, programPath } from '../../local/programs.ts';
import { command, interrupted } from './command.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** The one-node cluster without a container engine, beside the repository. */
const LAB = join(ROOT, '..', 'shared', 'lab', 'cluster');
/** Address of this machine for pods of the lab. */
const HOST = '10.97.0.1';
/** Program of the lab that makes stand-ins for public images. */
const IMAGES = join(LAB, '..', 'images');
const TEMPORAL_IMAGE = `docker.io/temporalio/temporal:${TEMPORAL_VERSION}`;
/** Folder of the volumes in the lab, beginning of their names, and their label. */
const VOLUMES = 'ooni-cluster-test';
const KIND_CLUSTER = 'ooni-pipeline';
/** Maximum time in which Docker says its version, milliseconds. */
const DOCKER_TIMEOUT = 60_000;
/** Maximum time of one command of the running lab, milliseconds. */
const LAB_TIMEOUT = 30 * 60_000;
/** Image and pod with which the lab is checked, its base, and the maximum time of the pod in seconds. */
const CHECK = 'lab-check';
const CHECK_IMAGE = `lab.local/${CHECK}:1`;
const CHECK_BASE = 'docker.io/library/node:24-trixie-slim';
const CHECK_SECONDS = 120;

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
  /** Whether `close` removes everything that is in the cluster. */
  readonly disposable: boolean;
  /** Builds a Dockerfile over a folder, and brings the image onto the nodes. `publicBase` names a public image that it begins with. */
  image(name: string, dockerfile: string, context: string, publicBase?: 'superset'): Promise<void>;
  /** Provides a volume for a claim, on a cluster without a provisioner. */
  volume?(namespace: string, claim: string): Promise<void>;
  /** Removes the volumes that an earlier run left, for example because it was killed. Its claims must be gone. */
  removeVolumes?(): Promise<void>;
  /** Stops what `open` started. */
  close(): Promise<void>;
}

/** The values `image` of the chart. */
export interface ImageValues {
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
}

/** Returns the values `image` of the chart for a reference such as `registry.example.org/ooni/pipeline:0.1.0`, or with `@sha256:...`. */
export function imageValues(reference: string): ImageValues {
  const [named, digest] = reference.split('@') as [string, string?];
  if (digest) return { registry: '', repository: named.replace(/:[^:/]*$/, ''), digest };
  const at = named.lastIndexOf(':');
  return { registry: '', repository: named.slice(0, at), tag: named.slice(at + 1) };
}

/**
 * Opens a cluster: with `kind` a new or existing kind cluster; otherwise that of KUBECONFIG with the image and address that CLUSTER_IMAGE and
 * CLUSTER_HOST name, or the cluster of `../shared/lab`. Throws StartError with a remedy, LabError when that cluster does not start.
 *
 * @param labTimeout maximum time in which the lab builds its programs, starts and makes its images, milliseconds
 */
export async function openPlace(kind: boolean, labTimeout: number): Promise<Place> {
  if (kind) return openKind();
  if (process.env.KUBECONFIG) return openGiven(process.env.KUBECONFIG);
  if (existsSync(LAB)) return openLab(labTimeout);
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
    disposable: false,
    image: async () => {},
    close: async () => {},
  };
}

async function openLab(startTimeout: number): Promise<Place> {
  const lab = (args: readonly string[], timeout = LAB_TIMEOUT, cleans = false) =>
    command(LAB, args, { show: true, timeout, cleans });
  seedLab();
  const wasUp = /^kube-apiserver runs/m.test(await command(LAB, ['status']));
  const state = process.env.LAB_STATE || '/var/lib/ooni-lab';
  const kubeconfig = join(state, 'admin.kubeconfig');
  const kubectl = (args: readonly string[], stdin?: string, cleans = false) =>
    command(programPath('kubectl'), args, { env: { KUBECONFIG: kubeconfig }, cleans, ...(stdin && { stdin }) });
  const folder = join(state, 'volumes', VOLUMES);
  const removeVolumes = async () => {
    await kubectl(['delete', 'persistentvolumes', '-l', `app=${VOLUMES}`], undefined, true);
    rmSync(folder, { recursive: true, force: true });
  };
  const close = async () => {
    if (wasUp) await removeVolumes();
    else await lab(['down'], LAB_TIMEOUT, true);
  };
  try {
    const end = performance.now() + startTimeout;
    const left = () => Math.max(1, end - performance.now());
    await obtainNft(left());
    if (!wasUp) await lab(['up'], left());
    await command(IMAGES, ['node', 'distroless', 'temporal'], { show: true, timeout: left() });
    await lab(['push', TEMPORAL_IMAGE], left());
    await checkLab(lab, kubectl, left);
  } catch (error) {
    await close().catch(() => {});
    if (error === interrupted()) throw error;
    throw new LabError(`The cluster of ../shared/lab did not start: ${(error as Error).message}`);
  }
  return {
    name: 'the cluster of ../shared/lab',
    kubeconfig,
    host: HOST,
    ...(process.env.CLUSTER_IMAGE && { given: process.env.CLUSTER_IMAGE }),
    pullsPublicImages: false,
    disposable: !wasUp,
    image: async (name, dockerfile, context, publicBase) => {
      if (publicBase) await command(IMAGES, [publicBase], { show: true, timeout: LAB_TIMEOUT });
      await lab(['build', name, '-f', dockerfile, context]);
    },
    volume: async (namespace, name) => {
      const path = join(folder, name);
      mkdirSync(path, { recursive: true });
      // The volumes of the lab are folders of root, which pods of other users cannot write.
      chmodSync(path, 0o777);
      await kubectl(
        ['apply', '-f', '-'],
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'PersistentVolume',
          metadata: { name: `${VOLUMES}-${name}`, labels: { app: VOLUMES } },
          spec: {
            storageClassName: 'standard',
            capacity: { storage: '20Gi' },
            accessModes: ['ReadWriteOnce'],
            persistentVolumeReclaimPolicy: 'Retain',
            claimRef: { namespace, name },
            hostPath: { path },
          },
        }),
      );
    },
    removeVolumes,
    close,
  };
}

/**
 * Checks what a kernel, a missing permission or a missing network of the machine can prevent: a step of a Dockerfile that reaches the
 * registry of npm, and a restricted pod that reaches a Service by its name and this machine by its address. Throws an error otherwise.
 */
async function checkLab(
  lab: (args: readonly string[], timeout: number) => Promise<string>,
  kubectl: (args: readonly string[], stdin?: string) => Promise<string>,
  left: () => number,
): Promise<void> {
  const context = mkdtempSync(join(tmpdir(), 'ooni-lab-check-'));
  try {
    writeFileSync(join(context, 'Dockerfile'), `FROM ${CHECK_BASE}\nRUN npm view yaml version\n`);
    await lab(['build', CHECK_IMAGE, '-f', join(context, 'Dockerfile'), context], left());
  } finally {
    rmSync(context, { recursive: true });
  }
  const reach = (host: string, port: number) => `(exec 3<>/dev/tcp/${host}/${port})`;
  const script = `until ${reach('kubernetes.default.svc', 443)} && ${reach(HOST, 6443)}; do sleep 1; done; echo reached`;
  await kubectl(['delete', 'pod', CHECK, '--ignore-not-found', '--namespace', 'default']);
  await kubectl(
    ['apply', '-f', '-'],
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: CHECK, namespace: 'default' },
      spec: {
        restartPolicy: 'Never',
        activeDeadlineSeconds: CHECK_SECONDS,
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: CHECK,
            image: CHECK_IMAGE,
            imagePullPolicy: 'Never',
            command: ['bash', '-c', script],
            resources: { limits: { memory: '128Mi' } },
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ['ALL'] },
            },
          },
        ],
      },
    }),
  );
  const pod = [`pod/${CHECK}`, '--namespace', 'default'];
  try {
    await kubectl(['wait', '--for=jsonpath={.status.phase}=Succeeded', ...pod, `--timeout=${CHECK_SECONDS}s`]);
    const log = await kubectl(['logs', ...pod]);
    if (!log.includes('reached')) throw new Error(`the log of the pod ${CHECK} is ${JSON.stringify(log)}`);
  } catch (error) {
    const found = await kubectl(['describe', ...pod]).catch((failure: Error) => failure.message);
    throw new Error(`a pod does not reach Services and this machine: ${(error as Error).message}\n${found}`);
  }
  await kubectl(['delete', ...pod]);
}

/** Installs the program with which kube-proxy makes Services reachable. The lab installs its other packages in the same way. */
async function obtainNft(timeout: number): Promise<void> {
  if (findOnPath('nft') || existsSync('/usr/sbin/nft')) return;
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeout };
  await command('apt-get', ['update', '-qq'], options);
  await command('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'nftables'], options);
}

/**
 * Gives the lab the programs that the tests have already built. They are the same versions, and each build takes minutes. The program with
 * the control plane chooses its part by the name with which it is called, so the lab gets a script for each part.
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
  await command('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: DOCKER_TIMEOUT }).catch(
    (error: Error) => {
      if (error === interrupted()) throw error;
      throw new StartError(
        `Docker does not answer. Start it (systemctl start docker), or join the group that may use it (usermod -aG docker $USER, and log in again): ${error.message}`,
      );
    },
  );
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
    disposable: false,
    image: async (name, dockerfile, context) => {
      await command('docker', ['build', '-f', dockerfile, '-t', name, context], { show: true });
      await load(name);
    },
    // The cluster stays for its user: kind delete cluster --name ooni-pipeline.
    close: async () => {},
  };
}
