/** What can be attributed to another observation: a TCP connect, TLS handshake or HTTP transaction. */
export interface Matchable {
  readonly ip: string | null;
  readonly transaction_id: number | null | undefined;
  /** Set once it is in a row. */
  taken: boolean;
}

/** Up to this many, looking at each is faster than an index; beyond, a hostile document would cost the square of its length. */
const SCANNED = 32;

/** A list of observations from which rows take what belongs to them (observations.md section 7, `match`). */
export class Unmatched<T extends Matchable> {
  readonly all: readonly T[];
  private byId: Map<number, Queue<T>> | undefined;
  private byIp: Map<string, Queue<T>> | undefined;

  constructor(all: readonly T[]) {
    this.all = all;
  }

  /** Takes the first with the transaction id, if that is neither null nor zero, else the first with the address as written. */
  take(id: number | null | undefined, ip: string | null): T | null {
    if (this.all.length === 0) return null;
    const found = (id ? this.withId(id) : null) ?? (ip ? this.withIp(ip) : null);
    if (found) found.taken = true;
    return found;
  }

  private withId(id: number): T | null {
    if (this.all.length > SCANNED) {
      this.byId ??= index(this.all, each => each.transaction_id);
      return this.byId.get(id)?.first() ?? null;
    }
    for (const each of this.all) if (each.transaction_id === id && !each.taken) return each;
    return null;
  }

  private withIp(ip: string): T | null {
    if (this.all.length > SCANNED) {
      this.byIp ??= index(this.all, each => each.ip);
      return this.byIp.get(ip)?.first() ?? null;
    }
    for (const each of this.all) if (each.ip === ip && !each.taken) return each;
    return null;
  }
}

/** Observations in order, from which taken ones drop out at the front. */
class Queue<T extends Matchable> {
  readonly items: T[] = [];
  private at = 0;

  first(): T | undefined {
    while (this.items[this.at]?.taken) this.at++;
    return this.items[this.at];
  }
}

function index<T extends Matchable, K>(all: readonly T[], keyOf: (each: T) => K | null | undefined): Map<K, Queue<T>> {
  const queues = new Map<K, Queue<T>>();
  for (const each of all) {
    const key = keyOf(each);
    if (key == null) continue;
    let queue = queues.get(key);
    if (!queue) {
      queue = new Queue();
      queues.set(key, queue);
    }
    queue.items.push(each);
  }
  return queues;
}
