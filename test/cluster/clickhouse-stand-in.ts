/**
 * The program `clickhouse` of a stand-in for ClickHouse's image: `clickhouse server --config-file=FILE` serves the HTTP interface on
 * `http_port` of the configuration with its data in `path`. Stops on SIGTERM.
 */
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';
import { openEmbedded } from '../../clickhouse/embedded.ts';

const { values, positionals } = parseArgs({ options: { 'config-file': { type: 'string' } }, allowPositionals: true });
if (positionals.join(' ') !== 'server' || !values['config-file']) {
  throw new Error(`clickhouse ${process.argv.slice(2).join(' ')}: only "server --config-file=FILE" is known`);
}
const config = parse(readFileSync(values['config-file'], 'utf8')) as { path: string; http_port: number };
const embedded = await openEmbedded(join(config.path, 'chdb'), { port: 0 });
const port = Number(new URL(embedded.url).port);
// The engine listens on the loopback alone.
const outside = createServer(socket => {
  const inside = connect(port, '127.0.0.1');
  socket.once('error', () => inside.destroy());
  inside.once('error', () => socket.destroy());
  socket.pipe(inside).pipe(socket);
}).listen(config.http_port, '::');
process.once('SIGTERM', async () => {
  outside.close();
  await embedded.close();
  process.exit(0);
});
