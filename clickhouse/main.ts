import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from './engine.ts';
import { createClickHouseServer } from './server.ts';

/**
 * The server's process: `node main.ts DIR PORT`, started by local/clickhouse.ts with a channel to it. Says `{url}` when it listens, `{error}`
 * when it cannot, and stops when it is told to or when whoever started it is gone.
 */
const [dir, port] = [process.argv[2]!, Number(process.argv[3])];
const scratch = mkdtempSync(join(memoryDir(), 'ooni-clickhouse-'));

try {
  mkdirSync(dir, { recursive: true });
  const engine = new Engine(dir, 8);
  const version = await engine.connect(async connection => {
    const { bytes } = await connection.query('SELECT version()', 'TabSeparatedRaw');
    return bytes.toString().trim();
  });
  const server = createClickHouseServer(engine, scratch, version);
  server.on('error', refuse);
  server.listen(port, '127.0.0.1', () => {
    process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  });
  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    server.close(() => {
      engine.close();
      rmSync(scratch, { recursive: true, force: true });
      process.exit(0);
    });
    server.closeIdleConnections();
  };
  process.on('SIGTERM', stop);
  process.on('disconnect', stop);
  // Ctrl-C on a terminal goes to the whole group; whoever started this process decides the order of stopping.
  process.on('SIGINT', () => {});
} catch (error) {
  refuse(error as Error);
}

function refuse(error: Error): void {
  rmSync(scratch, { recursive: true, force: true });
  if (!process.send) throw error;
  process.send({ error: error.message }, () => process.exit(1));
}

/** Memory as a file system where there is one. */
function memoryDir(): string {
  const found = statSync('/dev/shm', { throwIfNoEntry: false });
  return found?.isDirectory() ? '/dev/shm' : tmpdir();
}
