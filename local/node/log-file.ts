import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectory } from '../../pipeline/directories.ts';

/** Maximum size of a log in bytes. A full log becomes `<path>.1`, of which there is only one, so a container never fills the disk. */
const LARGEST = 10 * 1024 * 1024;
/** Maximum length of a piece of a line. Longer lines are kept in pieces. */
const MAX_LENGTH = 16 * 1024;

/** A line of a container, or a piece of one. */
export interface LogLine {
  /** RFC 3339 with milliseconds. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  /** False: the line continues in the next piece. */
  readonly whole: boolean;
  readonly text: string;
}

/** The output of one run of a container, kept with times in the format of the container runtime interface. */
export class LogFile {
  readonly path: string;
  readonly #listeners = new Set<(line: LogLine) => void>();
  readonly #onClose = new Set<() => void>();
  readonly #rest = { stdout: '', stderr: '' };
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  #fd: number;
  #size: number;
  #open = true;

  constructor(path: string) {
    makeDirectory(dirname(path));
    this.path = path;
    this.#fd = openSync(path, 'a');
    this.#size = statSync(path).size;
  }

  get open(): boolean {
    return this.#open;
  }

  /** Writes output as it arrives; complete lines are written at once. */
  write(stream: 'stdout' | 'stderr', chunk: Buffer): void {
    if (!this.#open) return;
    const lines = (this.#rest[stream] + this.#decoders[stream].decode(chunk, { stream: true })).split('\n');
    this.#rest[stream] = lines.pop()!;
    for (const line of lines) this.#line(stream, line, true);
    while (this.#rest[stream].length > MAX_LENGTH) {
      this.#append(stream, this.#rest[stream].slice(0, MAX_LENGTH), false);
      this.#rest[stream] = this.#rest[stream].slice(MAX_LENGTH);
    }
  }

  /** Passes each further line to `onLine`, until the log closes or `stop` is called. */
  follow(onLine: (line: LogLine) => void, onClose: () => void): { stop(): void } {
    this.#listeners.add(onLine);
    if (this.#open) this.#onClose.add(onClose);
    else onClose();
    return {
      stop: () => {
        this.#listeners.delete(onLine);
        this.#onClose.delete(onClose);
      },
    };
  }

  close(): void {
    if (!this.#open) return;
    for (const stream of ['stdout', 'stderr'] as const)
      if (this.#rest[stream]) this.#line(stream, this.#rest[stream], true);
    this.#open = false;
    closeSync(this.#fd);
    for (const onClose of this.#onClose) onClose();
  }

  #line(stream: 'stdout' | 'stderr', line: string, whole: boolean): void {
    let at = 0;
    for (; line.length - at > MAX_LENGTH; at += MAX_LENGTH)
      this.#append(stream, line.slice(at, at + MAX_LENGTH), false);
    this.#append(stream, line.slice(at), whole);
  }

  #append(stream: 'stdout' | 'stderr', text: string, whole: boolean): void {
    const line = { time: new Date().toISOString(), stream, whole, text };
    const bytes = Buffer.from(`${line.time} ${stream} ${whole ? 'F' : 'P'} ${text}\n`);
    if (this.#size + bytes.length > LARGEST) {
      closeSync(this.#fd);
      renameSync(this.path, `${this.path}.1`);
      this.#fd = openSync(this.path, 'a');
      this.#size = 0;
    }
    writeSync(this.#fd, bytes);
    this.#size += bytes.length;
    for (const listener of this.#listeners) listener(line);
  }
}

/** Reads the lines of a log on disk, oldest first: at most twice LARGEST. */
export function readLog(path: string): LogLine[] {
  const lines: LogLine[] = [];
  for (const file of [`${path}.1`, path]) {
    if (!existsSync(file)) continue;
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const [, time, stream, tag, text] = /^(\S+) (stdout|stderr) ([FP]) (.*)$/s.exec(line) ?? [];
      if (time) lines.push({ time, stream: stream as LogLine['stream'], whole: tag === 'F', text: text! });
    }
  }
  return lines;
}
