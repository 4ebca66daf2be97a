import { createServer } from 'node:net';
import { threadId } from 'node:worker_threads';

/** Ports below the range that the kernel uses for outgoing connections: it could take one of those before the server starts. */
const PORTS = { first: 20_000, count: 12_000 };
/** For the same reason, each process and each thread begins at a different port and counts up from there. */
let drawn = (process.pid + threadId) * 61;

/** Returns a port of the loopback address that is not in use. Does not return the same port again soon. */
export async function freePort(): Promise<number> {
  for (;;) {
    try {
      return await listenOnce(PORTS.first + (drawn++ % PORTS.count));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
}

/** Listens at a port of the loopback address for a moment. Rejects with the error of the system, EADDRINUSE for a port in use. */
export function listenOnce(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : port));
    });
  });
}
