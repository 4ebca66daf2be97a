import { randomInt } from 'node:crypto';
import { requirePort, StartError } from '../../local/process.ts';
import { portsFrom } from '../../local/stack.ts';

/** Ports below those of freePort, because it may take seconds until a server listens on the last of them. */
const PORTS = { first: 10_000, last: 20_000 };

/** Finds an offset for `npm start -- --port-offset` at which all ports are free. */
export async function freeOffset(): Promise<number> {
  const ports = Object.values(portsFrom(0));
  for (;;) {
    const offset = randomInt(PORTS.first - Math.min(...ports), PORTS.last - Math.max(...ports));
    try {
      await Promise.all(ports.map(port => requirePort(port + offset, 'the stack')));
      return offset;
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
    }
  }
}
