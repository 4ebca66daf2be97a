import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where the API server is and how to speak to it, read at one moment. Never logged: it holds credentials. */
export interface Connection {
  /** URL of the API server, without a slash at its end. */
  readonly server: string;
  /** Namespace of the context or of the pod; "default" when none is named. */
  readonly namespace: string;
  /** Authorization and impersonation. */
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: {
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    readonly servername?: string;
    readonly rejectUnauthorized?: boolean;
  };
  /** URL of a proxy on the way (proxy-url of the cluster). */
  readonly proxy?: string;
}

/** Reads the connection anew each time: tokens rotate, certificates are renewed. */
export type ConnectionSource = () => Promise<Connection>;

/** No usable way to an API server: says which file, context or variable is wrong. */
export class KubeConfigError extends Error {
  override name = 'KubeConfigError';
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The way to the API server, found as kubectl does: a named kubeconfig, else KUBECONFIG, else the service account of the pod, else
 * ~/.kube/config. Nothing is read before the first call.
 *
 * Throws KubeConfigError, at once when nothing is there, from the source when a file cannot be used.
 */
export function connectionSource(
  options: { kubeconfig?: string; context?: string; env?: Record<string, string | undefined>; root?: string } = {},
): ConnectionSource {
  const { env = process.env, root = '', context } = options;
  const named = options.kubeconfig || env.KUBECONFIG;
  if (named) return () => fromKubeconfig(named.split(':').filter(Boolean), context);
  if (env.KUBERNETES_SERVICE_HOST && existsSync(`${root}${SERVICE_ACCOUNT}/token`)) {
    return () => fromServiceAccount(env, `${root}${SERVICE_ACCOUNT}`);
  }
  const home = join(env.HOME ?? homedir(), '.kube', 'config');
  if (existsSync(home)) return () => fromKubeconfig([home], context);
  throw new KubeConfigError(
    'no way to a Kubernetes API server: set KUBECONFIG, run in a pod with a service account, or write ~/.kube/config',
  );
}

/**
 * In a pod. This path does without client-node, whose import costs 58 MB of memory and half a second: this is where the operator
 * runs for months.
 */
async function fromServiceAccount(env: Record<string, string | undefined>, directory: string): Promise<Connection> {
  const host = env.KUBERNETES_SERVICE_HOST ?? '';
  const port = env.KUBERNETES_SERVICE_PORT || '443';
  const read = async (name: string) => {
    try {
      return (await readFile(join(directory, name), 'utf8')).trim();
    } catch (error) {
      throw new KubeConfigError(`the pod's service account has no readable ${name}`, { cause: error });
    }
  };
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    namespace: await read('namespace'),
    headers: { authorization: `Bearer ${await read('token')}` },
    tls: { ca: await read('ca.crt') },
  };
}

/** From kubeconfig files, which client-node understands in full: tokens, certificates, exec plugins, OIDC, impersonation. */
async function fromKubeconfig(files: string[], context?: string): Promise<Connection> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  try {
    for (const [index, file] of files.entries()) {
      const next = new KubeConfig();
      next.loadFromFile(file);
      if (index === 0) config.loadFromOptions(next);
      else config.mergeConfig(next, true);
    }
  } catch (error) {
    // The message of a YAML error quotes the line it stopped at, which may be a token.
    throw new KubeConfigError(`kubeconfig ${files.join(':')} cannot be read: ${firstLine(error)}`);
  }
  if (context) config.setCurrentContext(context);
  const current = config.getCurrentContext();
  const cluster = config.getCurrentCluster();
  if (!cluster) {
    throw new KubeConfigError(
      `kubeconfig ${files.join(':')}: context "${current ?? ''}" names no cluster; choose one of ${names(config.getContexts())}`,
    );
  }
  const user = config.getCurrentUser();
  if (!user) throw new KubeConfigError(`kubeconfig ${files.join(':')}: context "${current}" names no user`);
  const options: RequestOptions = {};
  try {
    await config.applyToHTTPSOptions(options);
  } catch (error) {
    throw new KubeConfigError(`credentials of user "${user.name}" in ${files.join(':')}: ${firstLine(error)}`);
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) headers[name.toLowerCase()] = String(value);
  if (options.auth) headers.authorization = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  return {
    server: cluster.server.replace(/\/+$/, ''),
    namespace: config.getContextObject(current)?.namespace || 'default',
    headers,
    tls: {
      ca: text(options.ca),
      cert: text(options.cert),
      key: text(options.key),
      servername: options.servername,
      rejectUnauthorized: options.rejectUnauthorized,
    },
    proxy: cluster.proxyUrl || undefined,
  };
}

function firstLine(error: unknown): string {
  return String((error as Error)?.message ?? error).split('\n')[0] ?? '';
}

function text(value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : String(value);
}

function names(contexts: readonly { name: string }[]): string {
  return contexts.map(item => item.name).join(', ') || '(it has none)';
}
