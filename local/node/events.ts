import type { Logger } from 'pino';
import { CORE_EVENTS } from '../../operator/kube/builtin.ts';
import type { Client } from '../../operator/kube/client.ts';
import { wireTime } from './pod-status.ts';
import type { StoredPod } from './resources.ts';

/** Number of remembered events. A repetition of a remembered event increases its count. */
const REMEMBERED = 1000;

interface PodEvent {
  readonly pod: StoredPod;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/**
 * Events of pods, for `kubectl describe`, in the core group: a node's credentials may write only those. Recording returns at once; an event that
 * cannot be written is logged and dropped.
 */
export class PodEvents {
  readonly #client: Client;
  readonly #node: string;
  readonly #log: Logger;
  readonly #known = new Map<string, { name: string; count: number }>();
  #writing: Promise<void> = Promise.resolve();
  #serial = 0;

  constructor(client: Client, node: string, log: Logger) {
    this.#client = client;
    this.#node = node;
    this.#log = log;
  }

  record(pod: StoredPod, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const key = JSON.stringify([pod.metadata.uid, reason, message]);
    // In sequence: an event can be counted only after it exists.
    this.#writing = this.#writing.then(() => this.#write(key, { pod, type, reason, message: message.slice(0, 1024) }));
  }

  /** Resolves when all recorded events have been written or dropped. */
  flush(): Promise<void> {
    return this.#writing;
  }

  async #write(key: string, { pod, type, reason, message }: PodEvent): Promise<void> {
    const { namespace = 'default', name, uid, resourceVersion } = pod.metadata;
    const now = wireTime();
    const known = this.#known.get(key);
    try {
      if (known) {
        await this.#client.patch(
          CORE_EVENTS,
          { namespace, name: known.name },
          { count: ++known.count, lastTimestamp: now },
        );
        return;
      }
      const event = `${name.slice(0, 200)}.${Date.now().toString(16)}${(this.#serial++).toString(16).padStart(4, '0')}`;
      await this.#client.create(CORE_EVENTS, {
        metadata: { namespace, name: event },
        involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace, name, uid, resourceVersion },
        type,
        reason,
        message,
        count: 1,
        firstTimestamp: now,
        lastTimestamp: now,
        source: { component: 'ooni-local-node', host: this.#node },
      });
      this.#known.set(key, { name: event, count: 1 });
      if (this.#known.size > REMEMBERED) this.#known.delete(this.#known.keys().next().value!);
    } catch (error) {
      this.#known.delete(key);
      this.#log.warn({ reason, error: (error as Error).message }, 'event could not be written');
    }
  }
}
