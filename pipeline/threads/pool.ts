import { AsyncLocalStorage } from 'node:async_hooks';
import { extname } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { boundsOf } from '../bucket.ts';
import type { Counts } from '../counts.ts';
import type { IpMetadata, SharedIpMetadata } from '../reference/ip-metadata.ts';
import type { BatchStage, BatchTask, Checkpoint } from '../runs/batch.ts';
import type { Settings } from '../settings.ts';
import type { Logger } from '../telemetry/log.ts';
import { currentTraceParent, type PlainSpan } from '../telemetry/spans.ts';
import { currentWork } from '../telemetry/work-context.ts';
import { ThreadError, ThreadWorkError } from './errors.ts';
import type { FromThread, ThreadData, ToThread } from './messages.ts';

export interface BatchListener {
  onProgress?(counts: Counts): void;
  onCheckpoint?(checkpoint: Checkpoint): void;
  /** An INSERT failed and is retried after `wait` milliseconds. */
  onRetry?(cause: { readonly reason: string; readonly message: string }, wait: number): void;
  /** Receives the class of error of each INSERT that failed, also of one that will be retried. */
  onInsertError?(error: string): void;
  onStage?(stage: BatchStage, seconds: number): void;
}

/** Time in which a thread has to respond to a cancellation before it is ended, milliseconds. */
const CANCEL_TIMEOUT = 10_000;

/**
 * Heap limits of a thread. The memory of a batch does not grow with its files. A document of the largest allowed size needs a few hundred MB
 * at most, and a thread that exceeds the limit ends alone, without the process. The young generation consists of three semi-spaces. With 16 MB
 * each, a process that works on one batch stays at 200 MB; with V8's own choice (up to 64 MB) it reaches 330 MB at the same speed.
 */
export const THREAD_LIMITS = { maxOldGenerationSizeMb: 1536, maxYoungGenerationSizeMb: 48 };

/**
 * V8 collects the whole heap when the heap has grown by a share of itself, and it counts memory outside the heap. The permanent data of a
 * thread is 15 MB, so V8 collected eight times for 160 MB of measurements: 15 % of all time. With a threshold of three times the heap it
 * collects twice, for up to 30 MB more. The flag belongs to the process, and V8 reads it at each collection.
 */
setFlagsFromString('--heap-growing-percent=200');

interface Thread {
  readonly worker: Worker;
  ipKey?: string;
}

/** Threads that process one batch each. A thread starts when there is work and no idle thread. */
export class ThreadPool {
  readonly #settings: Settings;
  readonly #databases: SharedDatabases;
  readonly #log: Logger;
  readonly #onSpan: ((span: PlainSpan) => void) | undefined;
  readonly #idle: Thread[] = [];
  readonly #waiting: ((thread: Thread) => void)[] = [];
  readonly #all = new Set<Thread>();
  #closed = false;

  /** @param onSpan receives the spans of the threads; without it they make none */
  constructor(settings: Settings, ipMetadata: IpMetadata, log: Logger, onSpan?: (span: PlainSpan) => void) {
    this.#settings = settings;
    this.#databases = new SharedDatabases(ipMetadata);
    this.#log = log;
    this.#onSpan = onSpan;
  }

  /**
   * Processes a batch. When the signal fires, the batch stops at the next document or INSERT; then nothing is written any more, and the promise
   * rejects with the signal's reason. Rejects with ThreadWorkError when the work failed, and with ThreadError when the thread ended.
   */
  async run(task: BatchTask, listener: BatchListener, signal?: AbortSignal): Promise<Counts> {
    signal?.throwIfAborted();
    const thread = await this.#take();
    let reusable = false;
    try {
      signal?.throwIfAborted();
      const counts = await this.#work(thread, task, listener, signal);
      reusable = true;
      return counts;
    } catch (error) {
      reusable = !(error instanceof ThreadError);
      throw error;
    } finally {
      await this.#give(thread, reusable);
    }
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#all].map(thread => thread.worker.terminate()));
  }

  #work(thread: Thread, task: BatchTask, listener: BatchListener, signal?: AbortSignal): Promise<Counts> {
    const { worker } = thread;
    return new Promise((resolve, reject) => {
      let patience: NodeJS.Timeout | undefined;
      const settle = (end: () => void) => {
        clearTimeout(patience);
        signal?.removeEventListener('abort', cancel);
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
        end();
      };
      const cancel = () => {
        worker.postMessage({ type: 'cancel' } satisfies ToThread);
        patience = setTimeout(() => void worker.terminate(), CANCEL_TIMEOUT);
      };
      // Without `bind`, a log line would name the work that started the thread.
      const onMessage = AsyncLocalStorage.bind((message: FromThread) => {
        if (message.type === 'progress') listener.onProgress?.(message.counts);
        else if (message.type === 'checkpoint') listener.onCheckpoint?.(message.checkpoint);
        else if (message.type === 'span') this.#onSpan?.(message.span);
        else if (message.type === 'stage') listener.onStage?.(message.stage, message.seconds);
        else if (message.type === 'insertError') listener.onInsertError?.(message.error);
        else if (message.type === 'retry') {
          listener.onRetry?.({ reason: message.reason, message: message.message }, message.wait);
          this.#log.warn(
            { bucket: task.run.bucket, attempt: message.attempt },
            `an INSERT will be retried in ${message.wait} ms: ${message.message}`,
          );
        } else if (message.type === 'done') settle(() => resolve(message.counts));
        else if (message.type === 'cancelled') settle(() => reject(signal?.reason ?? new ThreadError('cancelled')));
        else settle(() => reject(new ThreadWorkError(message.failure)));
      });
      const onError = (error: Error) =>
        settle(() => reject(new ThreadError(`the thread ended: ${error.message}`, { cause: error })));
      const onExit = () => settle(() => reject(signal?.aborted ? signal.reason : new ThreadError('the thread ended')));
      worker.on('message', onMessage).on('error', onError).on('exit', onExit);
      signal?.addEventListener('abort', cancel, { once: true });
      const shared = this.#databases.at(task.run.bucket);
      const known = thread.ipKey === shared.key;
      thread.ipKey = shared.key;
      const work = currentWork();
      const traceParent = currentTraceParent();
      worker.postMessage({
        type: 'run',
        task,
        ipKey: shared.key,
        ...(!known && { ip: shared.ip }),
        ...(work && { work }),
        ...(traceParent && { traceParent }),
      } satisfies ToThread);
    });
  }

  #take(): Promise<Thread> | Thread {
    if (this.#closed) throw new ThreadError('the worker is stopping');
    const idle = this.#idle.pop();
    if (idle) return idle;
    if (this.#all.size < this.#settings.worker_slots) return this.#start();
    return new Promise(resolve => this.#waiting.push(resolve));
  }

  async #give(thread: Thread, reusable: boolean): Promise<void> {
    if (!reusable) {
      await thread.worker.terminate();
      this.#all.delete(thread);
    }
    // A thread that exited during its cancellation is no longer in the set.
    const next = this.#all.has(thread) ? thread : undefined;
    const waiting = this.#waiting.shift();
    if (waiting) waiting(next ?? this.#start());
    else if (next) this.#idle.push(next);
  }

  #start(): Thread {
    const worker = new Worker(new URL(`thread${extname(import.meta.url)}`, import.meta.url), {
      workerData: { settings: this.#settings, isTraced: this.#onSpan !== undefined } satisfies ThreadData,
      resourceLimits: THREAD_LIMITS,
    });
    const thread: Thread = { worker };
    this.#all.add(thread);
    worker.once('exit', () => {
      this.#all.delete(thread);
      const place = this.#idle.indexOf(thread);
      if (place >= 0) this.#idle.splice(place, 1);
    });
    // The batch in progress has its own listener. Without this one, an error between two batches would end the process.
    worker.on('error', error => this.#log.error({ err: error }, 'a thread ended'));
    return thread;
  }
}

/** IP databases in shared memory. They are loaded once for all threads, for the months of the buckets in progress. */
class SharedDatabases {
  readonly #ipMetadata: IpMetadata;
  readonly #months = new Map<string, SharedIpMetadata>();

  constructor(ipMetadata: IpMetadata) {
    this.#ipMetadata = ipMetadata;
  }

  at(bucket: string): { key: string; ip: SharedIpMetadata } {
    const key = bucket.slice(0, 7);
    const ip = this.#months.get(key) ?? this.#ipMetadata.share([boundsOf(bucket).start]);
    this.#months.delete(key);
    this.#months.set(key, ip);
    // Two months, because a backfill that crosses into the next month uses both for a while.
    if (this.#months.size > 2) this.#months.delete(this.#months.keys().next().value!);
    return { key, ip };
  }
}
