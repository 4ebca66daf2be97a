import { type Context, Waits, WrittenStatus } from '../../operator/controllers/reconcile.ts';
import type { Client } from '../../operator/kube/client.ts';
import { systemClock } from '../../operator/kube/clock.ts';
import type { EventRecorder } from '../../operator/kube/events.ts';

/** Returns the context of a reconciler that sends its requests to these methods of a client, and records no events. */
export function reconcileContext(client: object): Context {
  return {
    client: client as Client,
    events: { record: () => {} } as unknown as EventRecorder,
    clock: systemClock,
    written: new WrittenStatus(),
    waits: new Waits(),
    installation: 'ooni',
  };
}
