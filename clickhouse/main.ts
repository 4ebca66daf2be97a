import { openEmbedded } from './embedded.ts';

/**
 * The embedded ClickHouse in a process of its own: `node main.ts DIR PORT`, started by local/clickhouse.ts with a channel to it. Says
 * `{url}` when it listens, `{error}` when it cannot, and stops when it is told to or when whoever started it is gone.
 */
const [dir, port] = [process.argv[2]!, Number(process.argv[3])];

try {
  const { url, close } = await openEmbedded(dir, { port });
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    await close();
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('disconnect', stop);
  // Ctrl-C on a terminal goes to the whole group; whoever started this process decides the order of stopping.
  process.on('SIGINT', () => {});
  process.send?.({ url });
} catch (error) {
  if (!process.send) throw error;
  process.send({ error: (error as Error).message }, () => process.exit(1));
}
