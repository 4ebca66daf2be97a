import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { THREAD_LIMITS } from '../../../pipeline/threads/pool.ts';
import type { Birth, Took, Work } from './thread.ts';

/** A thread of the benchmark, with the limits of a worker's thread. */
export class Thread {
  readonly #worker: Worker;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  static async start(birth: Birth): Promise<Thread> {
    const worker = new Worker(new URL('thread.ts', import.meta.url), {
      workerData: birth,
      resourceLimits: THREAD_LIMITS,
    });
    await once(worker, 'message');
    return new Thread(worker);
  }

  /** Makes one pass over the input. */
  async pass(work: Work): Promise<Took> {
    const answer = once(this.#worker, 'message');
    this.#worker.postMessage(work);
    return (await answer)[0] as Took;
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}
