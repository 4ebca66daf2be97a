import { randomUUID } from 'node:crypto';
import { type ClickHouse, identifier } from '../tables/clickhouse.ts';
import { engineFor, onCluster } from '../tables/ddl.ts';
import { TableSchemaError } from '../tables/errors.ts';

/** Interval between the renewals of the lock, milliseconds. */
const RENEWAL = 10_000;
const NAME = /^pipeline_migrating_(\d+)$/;

/**
 * A lock that relies on an atomic operation of ClickHouse: of two `CREATE TABLE` with one name, one fails. The tables are numbered
 * (`pipeline_migrating_1`, `_2`, ...) and the highest is the lock. Its holder writes a row every ten seconds. If the holder has not written
 * for a minute, by the server's clock, the process that creates the next number becomes the new holder. So no process has to drop a lock that
 * may already have a new holder.
 */
export class MigrationLock {
  readonly #clickhouse: ClickHouse;
  readonly #number: number;
  readonly #renewal: NodeJS.Timeout;
  readonly #token = randomUUID();

  private constructor(clickhouse: ClickHouse, number: number) {
    this.#clickhouse = clickhouse;
    this.#number = number;
    // The next renewal makes up for a failed one. If all fail, check() reports that the lock is lost.
    this.#renewal = setInterval(() => void this.#renew().catch(() => {}), RENEWAL).unref();
  }

  /**
   * Takes the lock; undefined while another process holds it.
   *
   * @param expiry seconds without a renewal after which the holder counts as dead
   */
  static async acquire(
    clickhouse: ClickHouse,
    expiry: number,
    signal?: AbortSignal,
  ): Promise<MigrationLock | undefined> {
    const highest = await MigrationLock.#highest(clickhouse, signal);
    if (highest && (await MigrationLock.#silence(clickhouse, highest, signal)) < expiry) return undefined;
    const number = (highest ?? 0) + 1;
    try {
      // Without IF NOT EXISTS, so that it fails if the lock is taken. A lost answer looks like another holder's lock and expires in the same way.
      await clickhouse.command(
        `CREATE TABLE ${identifier(nameOf(number))}${onCluster(clickhouse)} (token String, at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')) ENGINE = ${engineFor('MergeTree', clickhouse)} ORDER BY at`,
        { signal },
      );
    } catch (error) {
      if (error instanceof TableSchemaError && error.code === 57) return undefined;
      throw error;
    }
    const lock = new MigrationLock(clickhouse, number);
    await lock.#renew();
    return lock;
  }

  /** Throws if another process took over the lock. */
  async check(): Promise<void> {
    if ((await MigrationLock.#highest(this.#clickhouse)) !== this.#number) {
      throw new TableSchemaError('another process took over the migration; start again');
    }
  }

  /** Lets other processes take the lock. */
  async release(): Promise<void> {
    clearInterval(this.#renewal);
    // Lowest first: the lock is held as long as the highest exists.
    for (const number of (await MigrationLock.#numbers(this.#clickhouse)).filter(each => each <= this.#number)) {
      await this.#clickhouse.command(
        `DROP TABLE IF EXISTS ${identifier(nameOf(number))}${onCluster(this.#clickhouse)} SYNC`,
      );
    }
  }

  async #renew(): Promise<void> {
    await this.#clickhouse.insert(nameOf(this.#number), [{ token: this.#token }]);
  }

  static async #numbers(clickhouse: ClickHouse, signal?: AbortSignal): Promise<number[]> {
    const rows = await clickhouse.select<{ name: string }>(
      "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'pipeline_migrating_')",
      { signal },
    );
    return rows
      .flatMap(row => NAME.exec(row.name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }

  static async #highest(clickhouse: ClickHouse, signal?: AbortSignal): Promise<number | undefined> {
    return (await MigrationLock.#numbers(clickhouse, signal)).at(-1);
  }

  /** Seconds since the last renewal. A lock that vanishes during the query counts as just renewed, so the caller tries again. */
  static async #silence(clickhouse: ClickHouse, number: number, signal?: AbortSignal): Promise<number> {
    const name = nameOf(number);
    try {
      const [row] = await clickhouse.select<{ silence: number }>(
        `SELECT date_diff('millisecond', greatest(
             (SELECT max(at) FROM ${identifier(name)}),
             (SELECT toDateTime64(max(metadata_modification_time), 3, 'UTC') FROM system.tables WHERE database = currentDatabase() AND name = {name:String})
           ), now64(3, 'UTC')) / 1000 AS silence`,
        { params: { name }, signal },
      );
      return row?.silence ?? 0;
    } catch (error) {
      if (error instanceof TableSchemaError) return 0;
      throw error;
    }
  }
}

function nameOf(number: number): string {
  return `pipeline_migrating_${number}`;
}
