import { canRewrite } from '../cli/colour.ts';
import { columnsOf } from '../cli/width.ts';

/** Output of progress: a terminal, or a file that keeps all lines. */
export interface Output {
  readonly isTTY?: boolean;
  /** Width of a terminal, in characters. */
  readonly columns?: number;
  write(text: string): unknown;
}

/** A line that can change until it is done. */
export interface Line {
  update(text: string): void;
  done(text: string): void;
}

/** Milliseconds after which a line repeats itself if the output is not a terminal, so that a log shows that work continues. */
const REPEAT = 30_000;

/**
 * Prints lines of progress, some of them live. On a terminal, the live lines are the last ones and are rewritten in place. Elsewhere, only
 * the start and the end of each line are printed, and a repetition from time to time.
 */
export class Terminal {
  readonly #out: Output;
  /** The text of each live line, in the order of their start. */
  readonly #live = new Map<object, string>();
  /** Number of live lines on the terminal. */
  #drawn = 0;

  constructor(out: Output = process.stderr) {
    this.#out = out;
  }

  get interactive(): boolean {
    return canRewrite(this.#out);
  }

  /** Prints a plain line. */
  print(text: string): void {
    this.#clear();
    this.#out.write(`${text}\n`);
    this.#draw();
  }

  /** Starts a line `label   text` with a text that changes until it is done. With `elapsed`, the elapsed time follows the text. */
  line(label: string, text: string, options: { elapsed?: boolean } = {}): Line {
    const start = Date.now();
    const head = label.padEnd(26);
    const time = () => {
      const seconds = Math.round((Date.now() - start) / 1000);
      return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    };
    const id = {};
    let latest = text;
    let printed = start;
    const show = (first = false) => {
      const shown = `${head}${latest}${options.elapsed ? `  ${time()}` : ''}`;
      if (this.interactive) {
        this.#clear();
        this.#live.set(id, shown.slice(0, (columnsOf(this.#out) ?? 140) - 1));
        this.#draw();
      } else if (first || Date.now() - printed >= REPEAT) {
        printed = Date.now();
        this.#out.write(`${shown}\n`);
      }
    };
    show(true);
    const timer = setInterval(show, 1000, false);
    timer.unref();
    return {
      update: next => {
        latest = next;
        show();
      },
      done: end => {
        clearInterval(timer);
        this.#clear();
        this.#live.delete(id);
        this.#out.write(`${head}${end}${options.elapsed ? `  ${time()}` : ''}\n`);
        this.#draw();
      },
    };
  }

  #clear(): void {
    if (this.#drawn === 0) return;
    const up = this.#drawn > 1 ? `\x1b[${this.#drawn - 1}A` : '';
    this.#out.write(`\r${up}\x1b[J`);
    this.#drawn = 0;
  }

  #draw(): void {
    if (!this.interactive || this.#live.size === 0) return;
    this.#out.write([...this.#live.values()].join('\n'));
    this.#drawn = this.#live.size;
  }
}
