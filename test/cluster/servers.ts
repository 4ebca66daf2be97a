import { once } from 'node:events';
import { createReadStream, existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { startClickHouse } from '../../local/clickhouse.ts';
import { startS3 } from '../support/s3.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const ARCHIVE = join(ROOT, 'test/fixtures/archive');
const FINGERPRINTS = join(ROOT, 'test/fixtures/fingerprints');
const BUCKET = 'archive';
/** Buckets and filter of every Backfill: seven of these days have objects in the archive of the fixtures. */
export const RANGE = { startAt: '2024-01-22', endAt: '2024-02-13', probeCC: ['IT'] } as const;

export interface Servers {
  /** Servers by their addresses for this machine. */
  readonly clickhouse: string;
  /** Settings of the pods, by key. */
  readonly settings: Readonly<Record<string, string | boolean>>;
  /** URL of ClickHouse for the pods; the database does not exist yet. */
  clickhouseUrl(database: string): string;
  stop(): Promise<void>;
}

/**
 * Starts what the pipeline does not bring along, on this machine: ClickHouse, an S3 server with the archive of the fixtures, and a web
 * server with the reference data. Pods reach them at `host`.
 *
 * @param dir folder for data and logs
 * @param host address of this machine that pods reach
 */
export async function startServers(dir: string, host: string): Promise<Servers> {
  const ends: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const end of ends.reverse()) await end().catch((error: Error) => console.error(error.message));
  };
  try {
    const clickhouse = await startClickHouse({ dir: join(dir, 'clickhouse') });
    ends.push(() => clickhouse.stop());
    const s3 = await startS3(join(dir, 's3'));
    ends.push(() => s3.stop());
    await s3.createBucket(BUCKET, 'public');
    for (const key of globSync('**/*', { cwd: ARCHIVE })) {
      if (statSync(join(ARCHIVE, key)).isFile()) await s3.put(BUCKET, key, readFileSync(join(ARCHIVE, key)));
    }
    const files = await serveFiles(FINGERPRINTS);
    ends.push(files.stop);
    const local = (url: string) => Number(new URL(url).port);
    const reach = async (port: number) => {
      const forward = await forwardPort(host, port);
      ends.push(forward.stop);
      return `http://${host}:${forward.port}`;
    };
    const [clickhouseOutside, s3Outside, filesOutside] = [
      await reach(local(clickhouse.url)),
      await reach(s3.port),
      await reach(files.port),
    ];
    return {
      clickhouse: clickhouse.url,
      clickhouseUrl: database => `${clickhouseOutside}/${database}`,
      settings: {
        archive_url: `s3://${BUCKET}`,
        archive_endpoint: s3Outside,
        archive_path_style: true,
        fingerprints_dns_source: `${filesOutside}/fingerprints_dns.csv`,
        fingerprints_http_source: 'none',
        test_lists_source: 'none',
        as_organisations_source: 'none',
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Accepts connections at `host` and passes them to a port of the loopback. */
export async function forwardPort(host: string, target: number): Promise<{ port: number; stop: () => Promise<void> }> {
  const open = new Set<{ destroy(): void }>();
  const server = createServer(inside => {
    const outside = connect(target, '127.0.0.1');
    for (const [one, other] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      open.add(one);
      one.once('error', () => other.destroy());
      one.once('close', () => {
        open.delete(one);
        other.destroy();
      });
    }
    inside.pipe(outside);
    outside.pipe(inside);
  });
  server.listen(0, host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

/** Serves the files of a folder at a loopback port. */
async function serveFiles(dir: string): Promise<{ port: number; stop: () => Promise<void> }> {
  const server = createHttp((request, response) => {
    const file = join(dir, new URL(request.url ?? '/', 'http://files').pathname);
    if (!existsSync(file) || !statSync(file).isFile()) response.writeHead(404).end();
    else createReadStream(file).pipe(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
