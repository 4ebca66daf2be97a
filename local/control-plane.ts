import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join, resolve } from 'node:path';
import { makeDirectory } from '../pipeline/directories.ts';
import { freePort } from '../pipeline/free-port.ts';
import { type Supervised, supervise } from './process.ts';
import { programPath } from './programs.ts';

export interface ControlPlane {
  /** Path of an administrator's kubeconfig. */
  readonly kubeconfig: string;
  readonly url: string;
  readonly processes: readonly Supervised[];
  /** Path of a kubeconfig for the node NODE_NAME, with the identity that the Node authorizer expects. */
  readonly nodeKubeconfig: string;
  /** PEM files of the serving certificate and its key. A node serves its logs with them. */
  readonly certificate: { readonly cert: string; readonly key: string };
  stop(): Promise<void>;
}

/**
 * Clients of the API server, each with a token. Tokens are created at the first start and kept in the data directory, readable only by its
 * owner.
 */
const IDENTITIES = {
  admin: { user: 'admin', groups: ['system:masters'] },
  'kube-controller-manager': { user: 'system:kube-controller-manager', groups: [] },
  'kube-scheduler': { user: 'system:kube-scheduler', groups: [] },
  node: { user: 'system:node:local', groups: ['system:nodes'] },
} as const;
type Identity = keyof typeof IDENTITIES;

/** Name of the only node. Its credentials are created with the control plane. */
export const NODE_NAME = 'local';

const ISSUER = 'https://kubernetes.default.svc.cluster.local';

/**
 * Starts a Kubernetes control plane from upstream's programs on loopback addresses: etcd, kube-apiserver with RBAC, kube-controller-manager
 * and kube-scheduler. It has no nodes; local/node adds one. Its state in `dir` is kept after the stop. Throws StartError if it does not
 * start.
 */
export async function startControlPlane(options: {
  dir: string;
  port?: number;
  signal?: AbortSignal;
}): Promise<ControlPlane> {
  const dir = resolve(options.dir);
  const pki = join(dir, 'pki');
  makeDirectory(pki, 0o700);
  const port = options.port ?? (await freePort());
  const url = `https://127.0.0.1:${port}`;
  const tokens = identities(pki);
  const certificate = { cert: join(pki, 'apiserver.crt'), key: join(pki, 'apiserver.key') };
  dropExpiring(certificate);
  const place = { dir, pki, certificate };
  const processes: Supervised[] = [];
  const stop = async () => {
    // In reverse order: no process loses a server that it depends on while it still runs.
    for (const process of processes.reverse()) await process.stop();
  };
  try {
    const [etcdPort, peerPort] = (await freePorts(2)) as [number, number];
    processes.push(await startEtcd(place, etcdPort, peerPort));
    const apiserver = await startApiServer(place, port, etcdPort);
    processes.push(apiserver);
    await apiserver.waitFor(() => isReady(port), 120_000, options.signal);
    for (const name of Object.keys(IDENTITIES) as Identity[]) {
      writeKubeconfig(join(pki, `${name}.kubeconfig`), url, readFileSync(certificate.cert), tokens[name]);
    }
    processes.push(await startControllerManager(place), await startScheduler(place));
  } catch (error) {
    await stop();
    throw error;
  }
  const kubeconfig = join(pki, 'admin.kubeconfig');
  return { kubeconfig, url, processes, nodeKubeconfig: join(pki, 'node.kubeconfig'), certificate, stop };
}

/** Files of a control plane. */
interface Place {
  readonly dir: string;
  /** Directory of certificates, keys, tokens and kubeconfigs. */
  readonly pki: string;
  readonly certificate: ControlPlane['certificate'];
}

function startEtcd({ dir }: Place, port: number, peerPort: number): Promise<Supervised> {
  const [client, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`];
  return supervise({
    name: 'etcd',
    command: programPath('etcd'),
    args: [
      '--name=local',
      `--data-dir=${join(dir, 'etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=local=${peer}`,
      '--auto-compaction-retention=1',
      '--log-level=warn',
    ],
    dir,
  });
}

function startApiServer({ dir, pki, certificate }: Place, port: number, etcdPort: number): Promise<Supervised> {
  return supervise({
    name: 'kube-apiserver',
    command: programPath('kube-apiserver'),
    args: [
      `--etcd-servers=http://127.0.0.1:${etcdPort}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${port}`,
      // Without a given certificate, it creates a self-signed one and keeps it here.
      `--cert-dir=${pki}`,
      `--token-auth-file=${join(pki, 'tokens.csv')}`,
      `--service-account-key-file=${join(pki, 'sa.key')}`,
      `--service-account-signing-key-file=${join(pki, 'sa.key')}`,
      `--service-account-issuer=${ISSUER}`,
      `--kubelet-client-certificate=${certificate.cert}`,
      `--kubelet-client-key=${certificate.key}`,
      '--authorization-mode=Node,RBAC',
      // The second plugin is on in OpenShift: an owner that blocks its deletion requires the permission to update its finalizers.
      '--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement',
      '--service-cluster-ip-range=10.0.0.0/24',
      '--kubelet-preferred-address-types=InternalIP',
      // 127.0.0.1 is rejected as the address of the service `kubernetes`, and nothing here uses that service.
      '--endpoint-reconciler-type=none',
    ],
    dir,
  });
}

function startControllerManager({ dir, pki, certificate }: Place): Promise<Supervised> {
  return supervise({
    name: 'kube-controller-manager',
    command: programPath('kube-controller-manager'),
    args: [
      `--kubeconfig=${join(pki, 'kube-controller-manager.kubeconfig')}`,
      '--use-service-account-credentials',
      `--service-account-private-key-file=${join(pki, 'sa.key')}`,
      `--root-ca-file=${certificate.cert}`,
      // Nothing connects to it.
      '--secure-port=0',
      '--leader-elect=false',
      // With the default of 20 requests per second, its controllers start four seconds later.
      '--kube-api-qps=500',
      '--kube-api-burst=500',
    ],
    dir,
  });
}

function startScheduler({ dir, pki }: Place): Promise<Supervised> {
  const kubeconfig = join(pki, 'kube-scheduler.kubeconfig');
  return supervise({
    name: 'kube-scheduler',
    command: programPath('kube-scheduler'),
    args: [
      `--kubeconfig=${kubeconfig}`,
      `--authentication-kubeconfig=${kubeconfig}`,
      `--authorization-kubeconfig=${kubeconfig}`,
      '--secure-port=0',
      '--leader-elect=false',
    ],
    dir,
  });
}

/** Returns tokens by identity. Creates them once, with the keys that sign service accounts' tokens, so that they survive a restart. */
function identities(pki: string): Record<Identity, string> {
  const names = Object.keys(IDENTITIES) as Identity[];
  const file = join(pki, 'tokens.json');
  if (!existsSync(file)) {
    const made = Object.fromEntries(names.map(name => [name, randomBytes(24).toString('hex')]));
    writeFileSync(file, JSON.stringify(made), { mode: 0o600 });
  }
  const tokens = JSON.parse(readFileSync(file, 'utf8')) as Record<Identity, string>;
  const lines = names.map(name => {
    const { user, groups } = IDENTITIES[name];
    return `${tokens[name]},${user},${name}${groups.length > 0 ? `,"${groups.join(',')}"` : ''}`;
  });
  writeFileSync(join(pki, 'tokens.csv'), `${lines.join('\n')}\n`, { mode: 0o600 });
  const key = join(pki, 'sa.key');
  if (!existsSync(key)) {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  }
  return tokens;
}

/** Removes a serving certificate that expires within a month. The API server then creates a new one. */
function dropExpiring({ cert, key }: ControlPlane['certificate']): void {
  if (!existsSync(cert)) return;
  const ends = Date.parse(new X509Certificate(readFileSync(cert)).validTo);
  if (ends > Date.now() + 30 * 86_400_000) return;
  rmSync(cert);
  rmSync(key, { force: true });
}

function writeKubeconfig(file: string, url: string, ca: Buffer, token: string): void {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'ooni-local',
    clusters: [{ name: 'ooni-local', cluster: { server: url, 'certificate-authority-data': ca.toString('base64') } }],
    users: [{ name: 'ooni-local', user: { token } }],
    contexts: [{ name: 'ooni-local', context: { cluster: 'ooni-local', user: 'ooni-local' } }],
  };
  writeFileSync(file, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 });
}

/** Returns whether the API server serves. /readyz needs no credentials, so no secret goes to another program on that port. */
function isReady(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const call = request(
      { host: '127.0.0.1', port, path: '/readyz', rejectUnauthorized: false, agent: false, timeout: 5000 },
      response => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(false));
    call.end();
  });
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}
