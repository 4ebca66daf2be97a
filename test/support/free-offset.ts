import { createServer } from 'node:net';
import { freePort } from '../../local/process.ts';
import { portsFrom } from '../../local/stack.ts';

/** An offset for `npm start -- --port-offset` at which all of its ports are free. */
export async function freeOffset(): Promise<number> {
  const { temporalUI } = portsFrom(0);
  for (;;) {
    const offset = (await freePort()) - temporalUI;
    const free = await Promise.all(Object.values(portsFrom(offset)).map(isFree));
    if (free.every(Boolean)) return offset;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    if (port < 1024 || port > 65_535) return resolve(false);
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
