import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { LEASES, type Lease } from './builtin.ts';
import type { Client } from './client.ts';
import { jittered, linked, sleep } from './clock.ts';
import { ConflictError, KubeError } from './errors.ts';
import type { Instruments } from './instruments.ts';
import type { Stored } from './resource.ts';

/** This process does not hold the lease, or might not hold it any more. It must not write. */
export class LeaseLostError extends Error {
  override name = 'LeaseLostError';
}

export interface LeaderLeaseOptions {
  /** Client that writes the Lease itself, without the guard. */
  readonly client: Client;
  readonly namespace: string;
  readonly name: string;
  readonly instruments: Instruments;
  /** Identity of this holder. By default the host name and a random part, so that a restarted process is another holder. */
  readonly identity?: string;
  /** Milliseconds; default 15,000. Others may take the lease this long after they saw its last renewal. */
  readonly duration?: number;
  /** Milliseconds; default 10,000. The holder stops leading this long after its last renewal. Less than `duration`. */
  readonly renewDeadline?: number;
  /** Milliseconds between attempts; default 2,000. */
  readonly retryPeriod?: number;
}

/**
 * Leader election by a coordination.k8s.io Lease. It never compares the clocks of two machines. Another holder's lease has expired when
 * this process has observed it unchanged for its duration. Our own has expired `renewDeadline` after this process sent its last
 * successful renewal. Both use the monotonic clock. So a holder that was paused detects this before its next write, whether or not
 * another process leads by then. One gap remains: a process that is paused between this check and the system call that sends will send
 * that one request when it goes on. The API has no fencing tokens that would close it.
 */
export class LeaderLease {
  readonly identity: string;
  readonly #options: LeaderLeaseOptions;
  readonly #duration: number;
  readonly #deadline: number;
  readonly #period: number;
  /** Monotonic time at which our last successful renewal was sent; undefined while this process does not hold the lease. */
  #renewed: number | undefined;
  /** Monotonic time at which the lease was lost; undefined once the work of the leader has ended. */
  #lost: number | undefined;
  /** The last observed Lease, and the monotonic time at which it was first observed in this version. */
  #observed: { lease: Stored<Lease>; at: number } | undefined;

  constructor(options: LeaderLeaseOptions) {
    this.#options = options;
    this.identity = options.identity ?? `${hostname()}_${randomUUID()}`;
    this.#duration = options.duration ?? 15_000;
    this.#deadline = options.renewDeadline ?? 10_000;
    this.#period = options.retryPeriod ?? 2_000;
    if (this.#deadline >= this.#duration || this.#period >= this.#deadline) {
      throw new RangeError(
        `lease ${options.name}: retryPeriod ${this.#period} < renewDeadline ${this.#deadline} < duration ${this.#duration} must hold`,
      );
    }
    options.instruments.metrics.leader.set({ name: options.name }, 0);
  }

  /** True while this process holds the lease and its last renewal is recent enough. */
  get held(): boolean {
    return this.#renewed !== undefined && this.#remaining(this.#renewed) > 0;
  }

  /**
   * The WriteGuard of every client that acts as leader. Throws LeaseLostError unless this process holds the lease. Returns the
   * milliseconds until another process may hold it; the write must end before that.
   */
  readonly assertHeld = (): number => {
    const { name } = this.#options;
    if (this.#renewed === undefined) throw new LeaseLostError(`lease ${name} is not held by this process`);
    const left = this.#remaining(this.#renewed);
    if (left <= 0) throw new LeaseLostError(`lease ${name} could not be renewed in time`);
    return left + this.#duration - this.#deadline;
  };

  /** Returns the problem for the liveness check: the leader cannot renew, or it lost the lease and its work does not end. */
  stalled(): string | undefined {
    const { clock } = this.#options.instruments;
    const { name } = this.#options;
    if (this.#renewed !== undefined) {
      const over = -this.#remaining(this.#renewed);
      return over > this.#period ? `lease ${name} is ${Math.round(over / 1000)} s past its renew deadline` : undefined;
    }
    if (this.#lost === undefined || clock.monotonic() - this.#lost < this.#duration) return undefined;
    return `lease ${name} is lost and the work of the leader has not ended`;
  }

  /**
   * Waits for the lease, then runs `work` and renews the lease meanwhile. When `signal` aborts, the signal of the work aborts too; when
   * the work has returned, the lease is released, and others take it at once. When the lease is lost, the work is aborted with
   * LeaseLostError, and that error is thrown once the work has returned. Drop all state then, because it belongs to a former leader.
   */
  async hold(signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { log, metrics } = this.#options.instruments;
    const { name } = this.#options;
    if (!(await this.#acquire(signal))) return;
    log.info({ lease: name, identity: this.identity }, 'leading');
    metrics.leader.set({ name }, 1);
    const { controller, unlink } = linked(signal);
    const renewal = new AbortController();
    const renewing = this.#keep(renewal.signal, error => controller.abort(error));
    try {
      await work(controller.signal);
      if (controller.signal.reason instanceof LeaseLostError) throw controller.signal.reason;
    } finally {
      // The renewal stops after the work, because the last writes still need the lease.
      renewal.abort();
      await renewing;
      this.#lost = undefined;
      unlink();
      await this.#release();
      metrics.leader.set({ name }, 0);
    }
  }

  /** Returns false when the signal aborted first. */
  async #acquire(signal: AbortSignal): Promise<boolean> {
    const { clock, log } = this.#options.instruments;
    let seen: string | undefined;
    while (!signal.aborted) {
      try {
        if (await this.#attempt(signal)) return true;
        const holder = this.#observed?.lease.spec?.holderIdentity;
        if (holder !== seen) log.info({ lease: this.#options.name, holder }, 'standing by');
        seen = holder;
      } catch (error) {
        if (signal.aborted) break;
        if (!(error instanceof KubeError)) throw error;
        log.warn({ lease: this.#options.name, error: error.message }, 'lease cannot be acquired, trying again');
      }
      await sleep(clock, jittered(clock, this.#period * 1.1, 0.1), signal).catch(() => {});
    }
    return false;
  }

  /** Renews until the signal aborts. Calls `lost` once when the deadline has passed or another process holds the lease. */
  async #keep(signal: AbortSignal, lost: (error: LeaseLostError) => void): Promise<void> {
    const { clock, log, metrics } = this.#options.instruments;
    const { name } = this.#options;
    while (!signal.aborted) {
      const left = this.#remaining(this.#renewed ?? 0);
      await sleep(clock, Math.max(0, Math.min(this.#period, left)), signal).catch(() => {});
      if (signal.aborted) return;
      try {
        if (!this.held)
          throw new LeaseLostError(`lease ${name} could not be renewed within ${this.#deadline / 1000} s`);
        if (!(await this.#attempt(signal))) {
          throw new LeaseLostError(`lease ${name} was taken by ${this.#observed?.lease.spec?.holderIdentity}`);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof LeaseLostError) {
          this.#renewed = undefined;
          this.#lost = clock.monotonic();
          metrics.leader.set({ name }, 0);
          log.error({ lease: name, reason: error.message }, 'no longer leading');
          return lost(error);
        }
        log.warn({ lease: name, err: error }, 'lease cannot be renewed, trying again');
      }
    }
  }

  /**
   * Tries once to take or renew the lease. Returns true when this process holds it, false when another one does. Throws when the result is
   * unknown.
   */
  async #attempt(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, instruments } = this.#options;
    const { clock } = instruments;
    let sent = clock.monotonic();
    const timeout = this.#renewed === undefined ? this.#deadline : Math.max(1, this.#remaining(this.#renewed));
    const call = { signal, timeout };
    try {
      // The leader uses the copy from its last renewal and saves a read. A conflict shows that the copy is outdated.
      const known = this.#renewed === undefined ? undefined : this.#observed?.lease;
      const current = known ?? (await client.find(LEASES, { namespace, name }, call));
      // The time counts from the write. A slow read before it must not shorten the lease that was won.
      sent = clock.monotonic();
      if (!current) {
        this.#observe(
          await client.create(LEASES, { metadata: { namespace, name }, spec: this.#spec(undefined) }, call),
        );
      } else {
        if (!known) this.#observe(current);
        if (!this.#free(current)) return false;
        this.#observe(await client.replace(LEASES, { ...current, spec: this.#spec(current.spec) }, call));
      }
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      // Another candidate was faster, or the answer to an earlier write of ours was lost. Reads the Lease; the next try decides.
      const current = await client.find(LEASES, { namespace, name }, call);
      // Without the object, any process may create it and lead at once.
      if (!current && this.#renewed !== undefined) throw new LeaseLostError(`lease ${name} was deleted`);
      if (current) this.#observe(current);
      if (!current || current.spec?.holderIdentity === this.identity) throw error;
      return false;
    }
    this.#renewed = sent;
    return true;
  }

  #observe(lease: Stored<Lease>): void {
    const { clock } = this.#options.instruments;
    if (this.#observed?.lease.metadata.resourceVersion === lease.metadata.resourceVersion) return;
    this.#observed = { lease, at: clock.monotonic() };
  }

  /** Returns whether we may take the lease: it is ours, it has no holder, or it has been unchanged for its duration. */
  #free(lease: Stored<Lease>): boolean {
    const holder = lease.spec?.holderIdentity;
    if (!holder || holder === this.identity) return true;
    const duration = (lease.spec?.leaseDurationSeconds ?? 0) * 1000 || this.#duration;
    return this.#options.instruments.clock.monotonic() - (this.#observed?.at ?? 0) > duration;
  }

  #spec(previous: Lease['spec']): Lease['spec'] {
    const now = microTime(this.#options.instruments.clock.now());
    const ours = previous?.holderIdentity === this.identity;
    return {
      holderIdentity: this.identity,
      leaseDurationSeconds: Math.ceil(this.#duration / 1000),
      acquireTime: ours ? previous?.acquireTime : now,
      renewTime: now,
      leaseTransitions: (previous?.leaseTransitions ?? -1) + (ours ? 0 : 1),
    };
  }

  /** Releases the lease, so that the next leader need not wait. A failure does no harm. */
  async #release(): Promise<void> {
    const { client, instruments, name } = this.#options;
    const lease = this.#observed?.lease;
    const held = this.held;
    this.#renewed = undefined;
    if (!held || !lease) return;
    const now = microTime(instruments.clock.now());
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now, acquireTime: now };
    try {
      await client.replace(LEASES, { ...lease, spec }, { timeout: 5_000 });
    } catch (error) {
      instruments.log.warn({ lease: name, err: error }, 'lease could not be released; it expires by itself');
    }
  }

  #remaining(renewed: number): number {
    return renewed + this.#deadline - this.#options.instruments.clock.monotonic();
  }
}

/** Formats milliseconds since 1970 as RFC 3339 with six fraction digits. The API server always rejects a MicroTime with fewer. */
export function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
