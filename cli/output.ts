import { StringDecoder } from 'node:string_decoder';
import { printable, printableJson } from './printable.ts';

/** Where a command writes; a terminal knows its width. */
export type OutputStream = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

/**
 * A stream that is written to with back-pressure. A reader that leaves early, as `head` does, ends the work and is no error. A terminal gets
 * control characters in a form that it shows and does not obey; a file or a pipe gets them as they are.
 */
export class Output {
  closed = false;
  readonly #stream: OutputStream;
  readonly #shown: ((chunk: string | Uint8Array) => string) | undefined;
  #error: Error | undefined;
  #wake = () => {};

  /** @param form what is written, which decides how control characters are shown on a terminal; `laidOut`: they are shown already */
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

  /** Resolves when there is room for more. Throws OutputError. */
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
 * Makes a standard stream whose reader has left, as `head` does, no error, and one that cannot be written a sentence and status 1. Call it once,
 * before anything is printed: without a listener, Node ends the program with a stack.
 */
export function guardStandardStreams(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // An Output has a listener too, and reports the error itself.
    if (error.code === 'EPIPE' || process.stdout.listenerCount('error') > 1) return;
    console.error(`oonipipeline: the output cannot be written: ${error.message}`);
    process.exitCode = 1;
  });
  process.stderr.on('error', () => {});
}

/** The output cannot be written: a full disk, for one. */
export class OutputError extends Error {
  override name = 'OutputError';
}
