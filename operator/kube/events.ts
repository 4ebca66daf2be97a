import { hostname } from 'node:os';
import { CORE_EVENTS } from './builtin.ts';
import type { Client } from './client.ts';
import { NotFoundError } from './errors.ts';
import type { Instruments } from './instruments.ts';
import { microTime } from './lease.ts';
import { apiVersionOf, type Resource, type Stored } from './resource.ts';

/** An event about an object, for people. */
export interface EventNote {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase word for machines, usually the reason of a condition. */
  readonly reason: string;
  /** Action of the operator, for example "Schedule". */
  readonly action: string;
  /** A sentence, cut to 1,024 bytes, the limit of the API server. */
  readonly note: string;
}

/** A written Event and its number of repetitions. */
interface Series {
  name: string;
  count: number;
  reported: number;
  at: number;
  writing: Promise<void> | undefined;
}

/**
 * Milliseconds within which an equal event increases the count of the first instead of being written again. The server keeps Events for an
 * hour.
 */
const SERIES_AGE = 600_000;
/** Number of series in memory; the oldest is forgotten first. */
const SERIES_KEPT = 4_096;
/** Number of concurrent writes. More are dropped and counted, so that events do not accumulate while the API server is slow. */
const WRITES = 100;

/**
 * Writes Kubernetes Events, which `kubectl describe` shows. Record transitions, never a lasting state. Repeated events become a series on
 * one object. Recording returns at once and never fails a reconciliation: a failed write is counted and logged.
 */
export class EventRecorder {
  readonly #client: Client;
  readonly #controller: string;
  readonly #instruments: Instruments;
  readonly #instance: string;
  readonly #series = new Map<string, Series>();
  readonly #writing = new Set<Promise<void>>();
  #serial = 0;

  /** `controller` is the reporting component, for example "pipeline.ooni.org/operator"; `instance` is its process, the name of its pod. */
  constructor(client: Client, controller: string, instruments: Instruments, instance = hostname()) {
    this.#client = client;
    this.#controller = controller;
    this.#instance = instance;
    this.#instruments = instruments;
  }

  record(resource: Resource, object: Stored, event: EventNote): void {
    const { clock, metrics, log } = this.#instruments;
    const key = JSON.stringify([object.metadata.uid, event.type, event.reason, event.action, event.note]);
    const known = this.#series.get(key);
    this.#series.delete(key);
    const current = known && clock.monotonic() - known.at < SERIES_AGE;
    const series: Series = current
      ? known
      : { name: this.#nextName(object), count: 0, reported: 0, at: clock.monotonic(), writing: undefined };
    series.count++;
    series.at = clock.monotonic();
    this.#series.set(key, series);
    if (this.#series.size > SERIES_KEPT) this.#series.delete(this.#series.keys().next().value as string);
    // The running write includes events recorded meanwhile, together, after its current request.
    if (series.writing) return;
    if (this.#writing.size >= WRITES) {
      metrics.eventsFailed.inc();
      log.warn({ reason: event.reason }, 'too many events are being written; one is dropped');
      return;
    }
    const writing = this.#write(resource, object, event, series).finally(() => {
      series.writing = undefined;
      this.#writing.delete(writing);
    });
    series.writing = writing;
    this.#writing.add(writing);
  }

  /** Resolves when every recorded event has been written or dropped. Called before the lease is released. */
  async flush(): Promise<void> {
    await Promise.all(this.#writing);
  }

  async #write(resource: Resource, object: Stored, event: EventNote, series: Series): Promise<void> {
    const { clock, metrics, log } = this.#instruments;
    const { namespace = 'default', name, uid, resourceVersion } = object.metadata;
    while (series.reported < series.count) {
      const count = series.count;
      const instant = clock.now();
      const now = microTime(instant);
      // The older fields are set besides eventTime and series, because kubectl and many tools sort and count by them. They sort an Event
      // without these fields first, whatever its time.
      const lastTimestamp = `${new Date(instant).toISOString().slice(0, 19)}Z`;
      const latest = { count, lastTimestamp, series: count > 1 ? { count, lastObservedTime: now } : undefined };
      try {
        if (series.reported === 0) {
          await this.#client.create(CORE_EVENTS, {
            metadata: { name: series.name, namespace },
            eventTime: now,
            firstTimestamp: lastTimestamp,
            type: event.type,
            reason: event.reason,
            action: event.action,
            message: cut(event.note),
            source: { component: this.#controller },
            reportingComponent: this.#controller,
            reportingInstance: this.#instance,
            involvedObject: {
              apiVersion: apiVersionOf(resource),
              kind: resource.kind,
              namespace: object.metadata.namespace,
              name,
              uid,
              resourceVersion,
            },
            ...latest,
          });
        } else {
          await this.#client.patch(CORE_EVENTS, { namespace, name: series.name }, latest);
        }
        series.reported = count;
      } catch (error) {
        if (error instanceof NotFoundError && series.reported > 0) {
          // The Event has expired on the server, so a new series begins.
          series.name = this.#nextName(object);
          series.count -= series.reported;
          series.reported = 0;
          continue;
        }
        metrics.eventsFailed.inc();
        log.warn({ reason: event.reason, error: (error as Error).message }, 'event could not be written');
        return;
      }
    }
  }

  #nextName(object: Stored): string {
    const serial = BigInt(this.#instruments.clock.now()) * 1_000_000n + BigInt(this.#serial++ % 1_000_000);
    return `${object.metadata.name.slice(0, 230)}.${serial.toString(16)}`;
  }
}

/** Cuts a note to 1,024 bytes of UTF-8 between characters. */
function cut(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= 1024) return note;
  let end = 1021;
  while (((bytes[end] as number) & 0xc0) === 0x80) end--;
  return `${bytes.toString('utf8', 0, end)}…`;
}
