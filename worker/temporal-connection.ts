import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NativeConnection, Worker } from '@temporalio/worker';
import type { Settings } from '../pipeline/settings.ts';
import type { Logger } from '../pipeline/telemetry/log.ts';
import { serverOptions } from '../temporal/connection.ts';
import { connect } from './temporal.ts';

/** Milliseconds between two reads of the TLS files. */
const REREAD = 30_000;

/** The connection of the workers of this process, which is replaced when a TLS file changes. */
export class TemporalConnection {
  readonly #settings: Settings;
  readonly #log: Logger;
  #current: NativeConnection;
  #fingerprint: string;

  private constructor(settings: Settings, log: Logger, current: NativeConnection, fingerprint: string) {
    this.#settings = settings;
    this.#log = log;
    this.#current = current;
    this.#fingerprint = fingerprint;
  }

  /** Connects. Throws SettingsError for a TLS file that cannot be read, and the errors of the SDK. */
  static async open(settings: Settings, log: Logger): Promise<TemporalConnection> {
    // Read before the connection reads them: a change between the two reads is then seen as a change.
    const fingerprint = fingerprintOf(settings);
    return new TemporalConnection(settings, log, await connect(settings), fingerprint);
  }

  get current(): NativeConnection {
    return this.#current;
  }

  /**
   * Gives the workers a new connection when a TLS file has changed, until the signal aborts. While the new files do not work, for example
   * because only one of certificate and key has been replaced, the workers keep the connection that they have.
   */
  async keep(workers: readonly Worker[], signal: AbortSignal): Promise<void> {
    while (await sleep(REREAD, true, { signal }).catch(() => false)) {
      try {
        await this.#renew(workers);
      } catch (error) {
        this.#log.warn(
          `a TLS file has changed, and connecting to Temporal with it failed: ${(error as Error).message}`,
        );
      }
    }
  }

  async #renew(workers: readonly Worker[]): Promise<void> {
    const fingerprint = fingerprintOf(this.#settings);
    if (fingerprint === this.#fingerprint) return;
    const next = await connect(this.#settings);
    for (const worker of workers) worker.connection = next;
    const former = this.#current;
    this.#current = next;
    this.#fingerprint = fingerprint;
    this.#log.info('a TLS file has changed; connected to Temporal again');
    await former.close();
  }

  close(): Promise<void> {
    return this.#current.close();
  }
}

function fingerprintOf(settings: Settings): string {
  return createHash('sha256')
    .update(JSON.stringify(serverOptions(settings)))
    .digest('hex');
}
