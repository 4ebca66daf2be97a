/** A stream that is written to with back-pressure. A reader that leaves early, as `head` does, ends the work and is no error. */
export class Output {
  closed = false;
  readonly #stream: NodeJS.WritableStream;
  #error: Error | undefined;
  #wake = () => {};

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
    stream.on('drain', () => this.#wake());
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.closed = true;
      if (error.code !== 'EPIPE') this.#error = error;
      this.#wake();
    });
  }

  /** Resolves when there is room for more. Throws OutputError. */
  async write(chunk: string | Uint8Array): Promise<void> {
    if (!this.closed && !this.#stream.write(chunk)) {
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
    if (this.#error) throw new OutputError(`the output cannot be written: ${this.#error.message}`);
  }
}

/** The output cannot be written: a full disk, for one. */
export class OutputError extends Error {
  override name = 'OutputError';
}
