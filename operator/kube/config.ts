import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Address and credentials of the API server, as read at one moment. Never log it. */
export interface Connection {
  /** URL of the API server, without a trailing slash. */
  readonly server: string;
  /** Namespace of the context or of the pod; "default" when there is none. */
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
  /** URL of a proxy (proxy-url of the cluster). */
  readonly proxy?: string;
}

/** Reads the connection again at each call, because tokens rotate and certificates are renewed. */
export type ConnectionSource = () => Promise<Connection>;

/** No usable connection to an API server. The message names the file, context or variable. */
export class KubeConfigError extends Error {
  override name = 'KubeConfigError';
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Returns the source of the connection. It searches like kubectl: a named kubeconfig, then KUBECONFIG, then the service account of the
 * pod, then ~/.kube/config. It reads nothing before the first call.
 *
 * Throws KubeConfigError: at once when none exists, and from the source when a file cannot be used.
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
 * Reads the service account of a pod. This path avoids client-node, whose import costs 58 MB of memory and half a second, because here
 * the operator runs for months.
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

/** Reads kubeconfig files with client-node, which supports all their features: tokens, certificates, exec plugins, OIDC, impersonation. */
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
    // The message of a YAML error quotes the line of the error, which may be a token.
    throw new KubeConfigError(`kubeconfig ${files.join(':')} cannot be read: ${firstLine(error)}`);
  }
  if (config.getContexts().length === 0) throw new KubeConfigError(`kubeconfig ${files.join(':')} has no context`);
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
  return contexts.map(item => item.name).join(', ');
}
