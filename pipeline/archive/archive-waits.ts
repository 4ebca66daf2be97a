import type { Archive, ArchiveObject, ListOptions, OpenOptions } from './archive.ts';

/** Measures how long the readers of an archive wait for it: for a listing, for an object, or for its next bytes. */
export class ArchiveWaits {
  #pending = 0;
  /** Start of the pending waits, in milliseconds of the monotonic clock. */
  #since = 0;
  #ended = 0;

  /** Milliseconds of all waits so far, including one that has not ended. Waits at the same time count once. */
  get milliseconds(): number {
    return this.#ended + (this.#pending > 0 ? performance.now() - this.#since : 0);
  }

  /** Returns the archive, with its waits measured here. */
  measured(archive: Archive): Archive {
    return {
      url: archive.url,
      list: (prefix: string, options?: ListOptions) => this.#each(archive.list(prefix, options)),
      folders: (prefix, options) => this.#each(archive.folders(prefix, options)),
      open: (object: ArchiveObject, options?: OpenOptions) => this.#each(archive.open(object, options)),
      check: options => this.#during(archive.check(options)),
    };
  }

  async *#each<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    const iterator = items[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.#during(iterator.next());
        if (next.done) return;
        yield next.value;
      }
    } finally {
      // Closes the object if the reader leaves before its end.
      await iterator.return?.();
    }
  }

  async #during<T>(request: Promise<T>): Promise<T> {
    if (this.#pending++ === 0) this.#since = performance.now();
    try {
      return await request;
    } finally {
      if (--this.#pending === 0) this.#ended += performance.now() - this.#since;
    }
  }
}
