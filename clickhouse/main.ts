import { openEmbedded } from './embedded.ts';

/**
 * Runs the embedded ClickHouse in a separate process: `node main.ts DIR PORT`. local/clickhouse.ts starts it with a channel. Sends `{url}`
 * when it listens, or `{error}` if it cannot. Stops on SIGTERM, or when the parent process is gone.
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
  // Ctrl-C on a terminal reaches the whole process group. The parent process decides the order of stopping.
  process.on('SIGINT', () => {});
  process.send?.({ url });
} catch (error) {
  if (!process.send) throw error;
  process.send({ error: (error as Error).message }, () => process.exit(1));
}
