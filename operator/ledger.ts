import { type BucketHistory, type HistoryQuery, readHistory } from '../pipeline/ledger/history.ts';
import { type Settings, SettingsError } from '../pipeline/settings.ts';
import { type ClickHouse, openClickHouse } from '../pipeline/tables/clickhouse.ts';
import { TableError } from '../pipeline/tables/errors.ts';
import type { Clock } from './kube/clock.ts';
import type { Observation } from './observation.ts';

/** Milliseconds for which an answer is reused, and after which a query is given up. */
const TTL = 60_000;
const DEADLINE = 5_000;

/** A query of the ledger, and the summary of its answer. */
export interface Question<T> {
  readonly query: Omit<HistoryQuery, 'asOf'>;
  /** Values beside the query on which the summary depends. An answer for other values is not reused. */
  readonly inputs: unknown;
  /** Returns what is kept of the history, which has records for years of buckets. `of` returns the state of a bucket. */
  summarise(of: (bucket: string) => BucketHistory): T;
}

/** Reads the ledger in ClickHouse. It caches answers, so that passes over schedules do not load the database. */
export class Ledger {
  readonly #settings: Pick<Settings, 'clickhouse_url' | 'clickhouse_cluster'>;
  #clickhouse: ClickHouse | undefined;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #answers = new Map<
    string,
    { readonly question: string; readonly at: number; readonly answer: Observation<unknown> }
  >();

  constructor(settings: Pick<Settings, 'clickhouse_url' | 'clickhouse_cluster'>, clock: Pick<Clock, 'monotonic'>) {
    this.#settings = settings;
    this.#clock = clock;
  }

  /**
   * Returns the summary of a range of buckets; unknown when ClickHouse does not answer. The message is always the same, so that it does not
   * change a status in each pass.
   *
   * @param key identifies the caller; it has one answer in the cache
   */
  async ask<T>(key: string, question: Question<T>, signal: AbortSignal): Promise<Observation<T>> {
    const text = JSON.stringify([question.query, question.inputs]);
    const known = this.#answers.get(key);
    if (known?.question === text && this.#clock.monotonic() - known.at < TTL) return known.answer as Observation<T>;
    const answer = await this.#read(question, signal);
    this.#answers.set(key, { question: text, at: this.#clock.monotonic(), answer });
    return answer;
  }

  forget(key: string): void {
    this.#answers.delete(key);
  }

  async #read<T>({ query, summarise }: Question<T>, signal: AbortSignal): Promise<Observation<T>> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE)]);
    try {
      // An unusable clickhouse_url must not stop the operator, which needs it for this alone.
      this.#clickhouse ??= openClickHouse(this.#settings, { retry: { attempts: 1, initial: 0, longest: 0 } });
      const history = await readHistory(this.#clickhouse, query, deadline);
      return { known: true, value: summarise(bucket => history.of(bucket)) };
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
