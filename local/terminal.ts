/** Where progress is written: a terminal, or a file that keeps lines. */
export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** A line that is alive until it is done. */
export interface Line {
  update(text: string): void;
  done(text: string): void;
}

/** How often a line that is not on a terminal repeats itself: enough to tell work from a standstill in a log. */
const REPEAT = 30_000;

/**
 * Lines of progress, one live line at a time. On a terminal it is rewritten in place; elsewhere only its beginning, its end and a sign of
 * life now and then are printed.
 */
export class Terminal {
  readonly #out: Output;
  #live = '';

  constructor(out: Output = process.stderr) {
    this.#out = out;
  }

  get interactive(): boolean {
    return this.#out.isTTY === true;
  }

  /** A plain line. */
  print(text: string): void {
    this.#clear();
    this.#out.write(`${text}\n`);
    if (this.#live) this.#out.write(this.#live);
  }

  /** `label   text`, where text changes until it is done. With `elapsed`, the time since the beginning goes behind it. */
  line(label: string, text: string, options: { elapsed?: boolean } = {}): Line {
    const start = Date.now();
    const head = label.padEnd(26);
    const time = () => {
      const seconds = Math.round((Date.now() - start) / 1000);
      return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    };
    let latest = text;
    let printed = start;
    const show = (first = false) => {
      const shown = `${head}${latest}${options.elapsed ? `  ${time()}` : ''}`;
      if (this.interactive) {
        this.#clear();
        this.#live = shown.slice(0, 140);
        this.#out.write(this.#live);
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
        this.#live = '';
        this.#out.write(`${head}${end}${options.elapsed ? `  ${time()}` : ''}\n`);
      },
    };
  }

  #clear(): void {
    if (this.interactive && this.#live) this.#out.write('\r\x1b[K');
  }
}
