import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { makeDirectory } from '../pipeline/directories.ts';
import { freePort } from '../pipeline/free-port.ts';
import { type Supervised, supervise } from './process.ts';
import { programPath } from './programs.ts';

export interface JaegerServer {
  /** Address of the UI and of the query API. */
  readonly url: string;
  /** Value of the setting `telemetry_endpoint`. */
  readonly endpoint: string;
  /** Whether the program has the UI. Go's module of Jaeger does not contain it; a program that is built from it shows a placeholder. */
  readonly hasUI: boolean;
  readonly process: Supervised;
  stop(): Promise<void>;
}

const CONFIG = join(import.meta.dirname, '../helm/ooni-pipeline/files/jaeger.yaml');

/** Number of traces that Jaeger keeps in memory. A backfill is one trace. */
const TRACES = 20_000;

/**
 * Starts Jaeger, which receives spans over OTLP/gRPC and keeps the newest traces in memory. The program must already be obtained. Throws
 * StartError if the server does not start.
 *
 * @param options.port port of the UI and the query API
 */
export async function startJaeger(options: {
  dir: string;
  port?: number;
  signal?: AbortSignal;
}): Promise<JaegerServer> {
  const http = options.port ?? (await freePort());
  const [grpc, otlp, health] = [await freePort(), await freePort(), await freePort()];
  makeDirectory(options.dir);
  const config = join(options.dir, 'config.yaml');
  writeFileSync(config, configuration({ http, grpc, otlp, health }));
  const server = await supervise({
    name: 'jaeger',
    command: programPath('jaeger'),
    args: ['--config', config],
    dir: options.dir,
  });
  const url = `http://127.0.0.1:${http}`;
  try {
    await server.waitFor(async () => (await pageAt(`${url}/api/services`)) !== undefined, 60_000, options.signal);
    const page = await pageAt(`${url}/search`);
    return {
      url,
      endpoint: `http://127.0.0.1:${otlp}`,
      hasUI: page?.includes('<script') ?? false,
      process: server,
      stop: () => server.stop(),
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Returns the configuration of the chart with other addresses. */
function configuration(ports: Readonly<Record<'http' | 'grpc' | 'otlp' | 'health', number>>): string {
  const config = parseDocument(readFileSync(CONFIG, 'utf8'));
  const listens = {
    'extensions.healthcheckv2.http': ports.health,
    'extensions.jaeger_query.http': ports.http,
    'extensions.jaeger_query.grpc': ports.grpc,
    'receivers.otlp.protocols.grpc': ports.otlp,
  };
  for (const [path, port] of Object.entries(listens))
    config.setIn([...path.split('.'), 'endpoint'], `127.0.0.1:${port}`);
  config.setIn('extensions.jaeger_storage.backends.memory.memory.max_traces'.split('.'), TRACES);
  return String(config);
}

/** Returns the text at an address, or undefined while the server does not answer with success. */
async function pageAt(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(3_000) });
    return response.ok ? await response.text() : undefined;
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}
