/**
 * A process that leads and writes: `node lease-holder.ts KUBECONFIG NAMESPACE LEASE IDENTITY`. While it holds the lease, it writes its name
 * into the config map LEASE as fast as it can, through a client that the lease guards. Prints "leading" when it leads. Exits with status 3
 * when it has lost the lease.
 */
import pino from 'pino';
import { Client } from '../../operator/kube/client.ts';
import { connectionSource } from '../../operator/kube/config.ts';
import { UnreachableError } from '../../operator/kube/errors.ts';
import { Http } from '../../operator/kube/http.ts';
import { createInstruments } from '../../operator/kube/instruments.ts';
import { LeaderLease, LeaseLostError } from '../../operator/kube/lease.ts';
import { CONFIG_MAPS } from './kube.ts';

const [kubeconfig, namespace = '', name = '', identity = ''] = process.argv.slice(2);
const client = new Client(new Http(connectionSource({ kubeconfig })), { fieldManager: identity });
const instruments = createInstruments({ log: pino({ level: 'warn' }, pino.destination(2)) });
const times = { duration: 6000, renewDeadline: 4000, retryPeriod: 500 };
const lease = new LeaderLease({ client, namespace, name, identity, instruments, ...times });
const writer = client.guardedBy(lease.assertHeld);
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());

try {
  await lease.hold(stop.signal, async signal => {
    console.log('leading');
    for (let n = 0; !signal.aborted; n++) {
      const object = { metadata: { name, namespace }, data: { by: identity, n: String(n) } };
      try {
        await writer.apply(CONFIG_MAPS, object, { force: true, signal });
      } catch (error) {
        // A machine under load answers late.
        if (!(error instanceof UnreachableError)) throw error;
      }
    }
  });
} catch (error) {
  if (stop.signal.aborted) process.exit(0);
  if (!(error instanceof LeaseLostError)) throw error;
  process.exit(3);
}
process.exit(0);
