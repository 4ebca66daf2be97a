import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../pipeline/free-port.ts';
import { type Supervised, supervise } from './process.ts';
import { programPath } from './programs.ts';

export interface TemporalServer {
  /** host:port of the frontend. */
  readonly address: string;
  /** Address of the web interface, or undefined without one. */
  readonly uiUrl?: string;
  readonly process: Supervised;
  stop(): Promise<void>;
}

/**
 * Starts Temporal's development server, with namespace `default`. It keeps workflows and schedules in `<dir>/temporal.db`, or in memory
 * until it ends. The programs that use search attributes register them. Throws StartError if the server does not start.
 *
 * @param options.uiPort port of the web interface; if absent, there is none
 * @param options.inMemory keeps nothing after the end; without waiting for the disk, the server is several times as fast
 * @param options.dynamicConfig server settings that differ from the defaults
 */
export async function startTemporal(options: {
  dir: string;
  port?: number;
  uiPort?: number;
  inMemory?: boolean;
  dynamicConfig?: Readonly<Record<string, string | number>>;
  signal?: AbortSignal;
}): Promise<TemporalServer> {
  const port = options.port ?? (await freePort());
  const args = ['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port)];
  args.push('--http-port', String(await freePort()), '--metrics-port', String(await freePort()));
  args.push('--log-level', 'warn');
  if (!options.inMemory) args.push('--db-filename', join(options.dir, 'temporal.db'));
  args.push(
    ...(options.uiPort === undefined ? ['--headless'] : ['--ui-ip', '127.0.0.1', '--ui-port', String(options.uiPort)]),
  );
  for (const [key, value] of Object.entries(options.dynamicConfig ?? {})) {
    args.push('--dynamic-config-value', `${key}=${JSON.stringify(value)}`);
  }
  const server = await supervise({
    name: 'temporal',
    command: programPath('temporal'),
    args,
    dir: options.dir,
    // Otherwise the program would read its own settings file and account from the home directory.
    env: { TEMPORAL_CONFIG_FILE: '/dev/null', TEMPORAL_ADDRESS: '', TEMPORAL_NAMESPACE: '' },
  });
  try {
    await server.waitFor(() => accepts(port), 60_000, options.signal);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    address: `127.0.0.1:${port}`,
    ...(options.uiPort !== undefined && { uiUrl: `http://127.0.0.1:${options.uiPort}` }),
    process: server,
    stop: () => server.stop(),
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
