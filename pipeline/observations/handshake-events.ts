import type { NetworkEvent, TlsHandshake } from '../measurement/model.ts';

/** Finds the network events of TLS handshakes (observations.md section 6.4). One index serves all handshakes of a list. */
export interface HandshakeEvents {
  /** Returns the events of the handshake at a position of its list, or undefined if they cannot be found. */
  of(handshake: TlsHandshake, position: number): readonly NetworkEvent[] | undefined;
}

const NO_EVENTS: HandshakeEvents = { of: () => undefined };

/** Selects the method by the first event: by transaction id if it has one, otherwise by time windows. */
export function indexEvents(events: readonly NetworkEvent[] | null | undefined): HandshakeEvents {
  if (!events?.[0]) return NO_EVENTS;
  return events[0].transaction_id == null ? new EventWindows(events) : new EventsByTransaction(events);
}

/** Time windows from a `connect` to the next `tls_handshake_done`. A handshake gets the window that ends at its own `t`. */
class EventWindows implements HandshakeEvents {
  readonly #windows: NetworkEvent[][] = [];
  readonly #endingAt = new Map<number, number[]>();

  constructor(events: readonly NetworkEvent[]) {
    let open: NetworkEvent[] = [];
    for (const event of events) {
      if (event.operation === 'connect') {
        open = [event];
      } else if (event.operation === 'tls_handshake_done') {
        open.push(event);
        const ends = this.#endingAt.get(event.t);
        if (ends) ends.push(this.#windows.length);
        else this.#endingAt.set(event.t, [this.#windows.length]);
        this.#windows.push(open);
        open = [];
      } else if (open.length > 0) {
        open.push(event);
      }
    }
  }

  of(handshake: TlsHandshake, position: number): NetworkEvent[] | undefined {
    const matches = this.#endingAt.get(handshake.t as number);
    if (!matches) return undefined;
    if (matches.length === 1) return this.#windows[matches[0]!];
    // Several windows end at this time: assume that handshakes and windows are in the same order.
    const window = this.#windows[position];
    return window?.at(-1)?.t === handshake.t ? window : undefined;
  }
}

class EventsByTransaction implements HandshakeEvents {
  readonly #events = new Map<number | null, NetworkEvent[]>();

  constructor(events: readonly NetworkEvent[]) {
    for (const event of events) {
      const id = event.transaction_id ?? null;
      const same = this.#events.get(id);
      if (same) same.push(event);
      else this.#events.set(id, [event]);
    }
    for (const same of this.#events.values()) {
      if (same.some((event, i) => i > 0 && event.t < same[i - 1]!.t)) same.sort((a, b) => a.t - b.t);
    }
  }

  of(handshake: TlsHandshake): NetworkEvent[] | undefined {
    const events = this.#events.get(handshake.transaction_id ?? null);
    // Upstream loses the measurement if there are no events, or if they have another address (docs/deviations.md, events).
    return events && (events[0]!.address ?? null) === (handshake.address ?? null) ? events : undefined;
  }
}

/** Facts from the events of a handshake. Field names are column names without `tls_`. */
export interface HandshakeFacts {
  handshake_read_count: number;
  handshake_write_count: number;
  handshake_read_bytes: number;
  handshake_write_bytes: number;
  handshake_last_operation: string | null;
  handshake_time: number;
}

/** Counts reads and writes. A write without bytes is not counted, but can be the last operation. */
export function handshakeFacts(events: readonly NetworkEvent[]): HandshakeFacts {
  let reads = 0;
  let writes = 0;
  let bytesRead = 0;
  let bytesWritten = 0;
  let last: string | null = null;
  for (const { operation, num_bytes } of events) {
    if (operation === 'write') {
      if (num_bytes) {
        writes++;
        bytesWritten += num_bytes;
      }
      last = `write_${writes}`;
    } else if (operation === 'read' && num_bytes) {
      reads++;
      bytesRead += num_bytes;
      last = `read_${reads}`;
    }
  }
  return {
    handshake_read_count: reads,
    handshake_write_count: writes,
    handshake_read_bytes: bytesRead,
    handshake_write_bytes: bytesWritten,
    handshake_last_operation: last,
    handshake_time: events.at(-1)!.t - events[0]!.t,
  };
}
