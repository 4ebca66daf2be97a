import { type BucketHistory, type HistoryQuery, readHistory } from '../pipeline/ledger/history.ts';
import { type Settings, SettingsError } from '../pipeline/settings.ts';
import { type ClickHouse, openClickHouse } from '../pipeline/tables/clickhouse.ts';
import { TableError } from '../pipeline/tables/errors.ts';
import type { Clock } from './kube/clock.ts';
import type { Observation } from './observation.ts';

/** Milliseconds for which an answer is reused, and after which a query is given up. */
const TTL = 60_000;
const DEADLINE = 5_000;

/** Reads the ledger in ClickHouse. It caches answers, so that passes over schedules do not load the database. */
export class Ledger {
  readonly #settings: Pick<Settings, 'clickhouse_url' | 'clickhouse_cluster'>;
  #clickhouse: ClickHouse | undefined;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #answers = new Map<string, { readonly query: string; readonly at: number; readonly answer: Answer }>();

  constructor(settings: Pick<Settings, 'clickhouse_url' | 'clickhouse_cluster'>, clock: Pick<Clock, 'monotonic'>) {
    this.#settings = settings;
    this.#clock = clock;
  }

  /**
   * Returns a function that returns the state of a bucket; unknown when ClickHouse does not answer. The message is always the same, so that
   * it does not change a status in each pass.
   *
   * @param key identifies the caller; it has one answer in the cache
   */
  async history(key: string, query: Omit<HistoryQuery, 'asOf'>, signal: AbortSignal): Promise<Answer> {
    const text = JSON.stringify(query);
    const known = this.#answers.get(key);
    if (known?.query === text && this.#clock.monotonic() - known.at < TTL) return known.answer;
    const answer = await this.#read(query, signal);
    this.#answers.set(key, { query: text, at: this.#clock.monotonic(), answer });
    return answer;
  }

  forget(key: string): void {
    this.#answers.delete(key);
  }

  async #read(query: Omit<HistoryQuery, 'asOf'>, signal: AbortSignal): Promise<Answer> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE)]);
    try {
      // An unusable clickhouse_url must not stop the operator, which needs it for this alone.
      this.#clickhouse ??= openClickHouse(this.#settings, { retry: { attempts: 1, initial: 0, longest: 0 } });
      const history = await readHistory(this.#clickhouse, query, deadline);
      return { known: true, value: bucket => history.of(bucket) };
    } catch (error) {
      signal.throwIfAborted();
      const expected = error instanceof TableError || error instanceof SettingsError || deadline.aborted;
      if (!expected) throw error;
      return { known: false, message: 'the ledger in ClickHouse cannot be read (clickhouse_url of the operator)' };
    }
  }

  async close(): Promise<void> {
    await this.#clickhouse?.close();
  }
}

type Answer = Observation<(bucket: string) => BucketHistory>;
