import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { portsFrom } from '../../local/stack.ts';

/** Below the ports that freePort gives out, as it may be seconds until the last of them is listened on. */
const PORTS = { first: 10_000, last: 20_000 };

/** An offset for `npm start -- --port-offset` at which all of its ports are free. */
export async function freeOffset(): Promise<number> {
  const ports = Object.values(portsFrom(0));
  for (;;) {
    const offset = randomInt(PORTS.first - Math.min(...ports), PORTS.last - Math.max(...ports));
    const free = await Promise.all(Object.values(portsFrom(offset)).map(isFree));
    if (free.every(Boolean)) return offset;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
