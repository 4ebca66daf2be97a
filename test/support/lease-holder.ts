/**
 * A process that leads and writes: `node lease-holder.ts KUBECONFIG NAMESPACE LEASE IDENTITY`. While it holds the lease, it writes its name
 * into the config map LEASE as fast as it can, several writes at once, through a client that the lease guards. Only that guard ends its
 * writes: the process ignores the signal that reports the loss, like work that has not seen the signal yet. Prints "leading" when it leads.
 * Exits with status 3 when it has lost the lease.
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
const WRITES_AT_ONCE = 6;
const lease = new LeaderLease({ client, namespace, name, identity, instruments, ...times });
const writer = client.guardedBy(lease.assertHeld);
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());

try {
  await lease.hold(stop.signal, async () => {
    console.log('leading');
    let n = 0;
    const write = async () => {
      while (!stop.signal.aborted) {
        const object = { metadata: { name, namespace }, data: { by: identity, n: String(n++) } };
        try {
          await writer.apply(CONFIG_MAPS, object, { force: true });
        } catch (error) {
          // A machine under load answers late.
          if (!(error instanceof UnreachableError)) throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: WRITES_AT_ONCE }, write));
  });
} catch (error) {
  if (stop.signal.aborted) process.exit(0);
  if (!(error instanceof LeaseLostError)) throw error;
  process.exit(3);
}
process.exit(0);
