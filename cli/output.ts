import { StringDecoder } from 'node:string_decoder';
import { printable, printableJson } from './printable.ts';

/** The stream that a command writes to. A terminal knows its width. */
export type OutputStream = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

/**
 * Writes to a stream with back-pressure. A reader that leaves early, as `head` does, ends the work; this is not an error. A terminal gets
 * control characters in a visible form that it does not obey. A file or a pipe gets them unchanged.
 */
export class Output {
  closed = false;
  readonly #stream: OutputStream;
  readonly #shown: ((chunk: string | Uint8Array) => string) | undefined;
  #error: Error | undefined;
  #wake = () => {};

  /** @param form content of the output, which decides how a terminal shows control characters; `laidOut`: they are already visible */
  constructor(stream: OutputStream, form: 'json' | 'text' | 'laidOut' = 'text') {
    this.#stream = stream;
    if (stream.isTTY && form !== 'laidOut') {
      const decoder = new StringDecoder('utf8');
      const show = form === 'json' ? printableJson : printable;
      this.#shown = chunk => show(typeof chunk === 'string' ? chunk : decoder.write(Buffer.from(chunk)));
    }
    stream.on('drain', () => this.#wake());
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.closed = true;
      if (error.code !== 'EPIPE') this.#error = error;
      this.#wake();
    });
  }

  /** Writes a chunk. Resolves when there is room for more. Throws OutputError. */
  async write(chunk: string | Uint8Array): Promise<void> {
    if (!this.closed && !this.#stream.write(this.#shown ? this.#shown(chunk) : chunk)) {
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
    if (this.#error) throw new OutputError(`the output cannot be written: ${this.#error.message}`);
  }
}

/**
 * Handles errors of the standard streams. If the reader has left, as `head` does, this is not an error. If a stream cannot be written, the
 * program prints one sentence and ends with status 1. Call this once, before anything is printed: without a listener, Node ends the program
 * with a stack.
 */
export function guardStandardStreams(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // An Output has its own listener and reports the error itself.
    if (error.code === 'EPIPE' || process.stdout.listenerCount('error') > 1) return;
    console.error(`oonipipeline: the output cannot be written: ${error.message}`);
    process.exitCode = 1;
  });
  process.stderr.on('error', () => {});
}

/** The output cannot be written, for example because the disk is full. */
export class OutputError extends Error {
  override name = 'OutputError';
}
