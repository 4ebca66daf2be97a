import { randomInt } from 'node:crypto';
import { requirePort, StartError } from '../../local/process.ts';
import { portsFrom } from '../../local/stack.ts';

/** Below the ports that freePort gives out, as it may be seconds until the last of them is listened on. */
const PORTS = { first: 10_000, last: 20_000 };

/** An offset for `npm start -- --port-offset` at which all of its ports are free. */
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
