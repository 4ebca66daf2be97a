import { addressForm } from '../reference/ip-literal.ts';
import type { DnsObservation } from './dns.ts';
import { hostForm } from './host-form.ts';
import type { HttpObservation } from './http.ts';
import type { TcpObservation } from './tcp.ts';
import type { TlsObservation } from './tls.ts';

/** An observation that can belong to a connection. */
export interface Connected {
  readonly ip: string | null;
  readonly port: number | null;
  readonly transaction_id: number | null | undefined;
  readonly conn_id?: number | null | undefined;
  /** True once the observation is part of a connection. */
  taken: boolean;
}

/** Observations of one connection. At least one part is not null. */
export interface Connection {
  tcp: TcpObservation | null;
  tls: TlsObservation | null;
  http: HttpObservation | null;
  /** True once a row contains the connection. */
  taken: boolean;
}

/** Lists up to this length are scanned; longer ones get an index. */
const SCANNED = 32;
/** Maximum candidates per look-up in a longer list. Without a limit, a hostile document costs the square of its length. */
const EXAMINED = 64;

/**
 * Reports whether two observations can belong to one connection. If both have an id, the ids decide: `transaction_id` identifies
 * the connection (df-002, df-005, df-006), and `conn_id` did in older probes. Both must also have the same endpoint, because older
 * probes gave all connects of an HTTP transaction one id. Without ids the address decides. The port then counts only if one of the
 * two has an id, so that documents without ids are joined as in the Python pipeline.
 */
function areOne(a: Connected, b: Connected): boolean {
  if (a.transaction_id && b.transaction_id) return a.transaction_id === b.transaction_id && canBeAt(a, b);
  if (a.conn_id && b.conn_id) return a.conn_id === b.conn_id && canBeAt(a, b);
  if (!a.ip || a.ip !== b.ip) return false;
  return !(hasId(a) || hasId(b)) || a.port === b.port || a.port === null || b.port === null;
}

function hasId(each: Connected): boolean {
  return Boolean(each.transaction_id || each.conn_id);
}

/** Reports whether the known parts of two endpoints are equal. */
function canBeAt(a: Connected, b: Connected): boolean {
  if (!a.ip || !b.ip) return true;
  return sameAddress(a.ip, b.ip) && (a.port === b.port || a.port === null || b.port === null);
}

/** Compares without case, because endpoints are converted to lower case but addresses of connects are not. */
function sameAddress(a: string, b: string): boolean {
  return a === b || (a.length === b.length && a.toLowerCase() === b.toLowerCase());
}

/** A queue of observations. Taken ones at its front are dropped. */
class Queue<T extends { taken: boolean }> {
  readonly items: T[] = [];
  #at = 0;

  find(accepts: (each: T) => boolean): T | null {
    while (this.items[this.#at]?.taken) this.#at++;
    const end = Math.min(this.items.length, this.#at + EXAMINED);
    for (let i = this.#at; i < end; i++) {
      const each = this.items[i]!;
      if (!each.taken && accepts(each)) return each;
    }
    return null;
  }
}

function addTo<K, T extends { taken: boolean }>(index: Map<K, Queue<T>>, key: K, item: T): void {
  let queue = index.get(key);
  if (!queue) {
    queue = new Queue();
    index.set(key, queue);
  }
  queue.items.push(item);
}

/** A list of observations from which connections take their parts. */
class Parts<T extends Connected> {
  readonly all: readonly T[];
  #index: Record<'transaction' | 'connection' | 'ip', Map<unknown, Queue<T>>> | undefined;

  constructor(all: readonly T[]) {
    this.all = all;
  }

  /** Takes the first observation that can belong to the same connection as `other`, preferably one with the same id. */
  takeFor(other: Connected): T | null {
    if (this.all.length === 0) return null;
    const found = this.all.length <= SCANNED ? this.#scan(other) : this.#lookUp(other);
    if (found) found.taken = true;
    return found;
  }

  #scan(other: Connected): T | null {
    let byAddress: T | null = null;
    for (const each of this.all) {
      if (each.taken || !areOne(other, each)) continue;
      if (hasId(each) === hasId(other)) return each;
      byAddress ??= each;
    }
    return byAddress;
  }

  #lookUp(other: Connected): T | null {
    this.#index ??= indexOf(this.all);
    const accepts = (each: T) => areOne(other, each);
    return (
      this.#index.transaction.get(other.transaction_id)?.find(accepts) ??
      this.#index.connection.get(other.conn_id)?.find(accepts) ??
      this.#index.ip.get(other.ip)?.find(accepts) ??
      null
    );
  }
}

function indexOf<T extends Connected>(
  all: readonly T[],
): Record<'transaction' | 'connection' | 'ip', Map<unknown, Queue<T>>> {
  const index = { transaction: new Map(), connection: new Map(), ip: new Map() };
  for (const each of all) {
    if (each.transaction_id) addTo(index.transaction, each.transaction_id, each);
    if (each.conn_id) addTo(index.connection, each.conn_id, each);
    if (each.ip) addTo(index.ip, each.ip, each);
  }
  return index;
}

/** The connections of a measurement, or of a part of one. Every observation is in exactly one connection. */
export class Connections {
  readonly all: Connection[] = [];
  #byIp: Map<string, Queue<Connection>> | undefined;

  constructor(tcp: readonly TcpObservation[], tls: readonly TlsObservation[], http: readonly HttpObservation[]) {
    const handshakes = new Parts(tls);
    const requests = new Parts(http);
    for (const connect of tcp) {
      const handshake = handshakes.takeFor(connect);
      const request = requests.takeFor(connect) ?? (handshake && requests.takeFor(handshake));
      this.all.push({ tcp: connect, tls: handshake, http: request, taken: false });
    }
    for (const handshake of tls) {
      if (!handshake.taken)
        this.all.push({ tcp: null, tls: handshake, http: requests.takeFor(handshake), taken: false });
    }
    for (const request of http) {
      if (!request.taken) this.all.push({ tcp: null, tls: null, http: request, taken: false });
    }
  }

  /**
   * Takes a connection to the answered address: one for the same host if possible, otherwise one with an unknown host. A connection
   * to that address for another host is not evidence about the looked-up host.
   */
  takeFor(dns: DnsObservation): Connection | null {
    if (!dns.answer || this.all.length === 0) return null;
    const answer = addressForm(dns.answer);
    let found: Connection | null = null;
    let best = 0;
    const examine = (each: Connection): boolean => {
      const rank = rankOf(each, dns);
      if (rank > best) {
        best = rank;
        found = each;
      }
      return best === BEST_RANK;
    };
    if (this.all.length <= SCANNED) {
      for (const each of this.all) if (!each.taken && ipOf(each) === answer && examine(each)) break;
    } else {
      if (!this.#byIp) {
        this.#byIp = new Map();
        for (const each of this.all) addTo(this.#byIp, ipOf(each) ?? '', each);
      }
      this.#byIp.get(answer)?.find(examine);
    }
    if (found) (found as Connection).taken = true;
    return found;
  }
}

function ipOf({ tcp, tls, http }: Connection): string | null {
  return tcp?.ip || tls?.ip || (http?.ip ?? null);
}

const BEST_RANK = 4;

/** Ranks how well a connection to the answered address matches a look-up. Returns 0 if it is for another host. */
function rankOf({ tcp, tls, http }: Connection, dns: DnsObservation): number {
  // The server name decides, because the certificate is checked for it. An address instead of a name also counts as another host.
  const host = tls?.server_name ? hostForm(tls.server_name) : (http?.hostname ?? '');
  const id = tcp?.transaction_id || tls?.transaction_id || http?.transaction_id;
  const sameId = id && id === dns.transaction_id ? 1 : 0;
  if (host === dns.hostname) return 3 + sameId;
  return host ? 0 : 1 + sameId;
}
