import type { Archive, ArchiveObject } from '../../../pipeline/archive/archive.ts';

/** An archive with one object of any length. It repeats the same gzip members, and the result is also gzip. */
export class EndlessArchive implements Archive {
  readonly url = 'endless:';
  readonly #members: readonly Buffer[];
  readonly #times: number;

  constructor(members: readonly Buffer[], times: number) {
    this.#members = members;
    this.#times = times;
  }

  async *list(): AsyncGenerator<ArchiveObject> {}

  async *folders(): AsyncGenerator<string> {}

  async check(): Promise<void> {}

  async *open(): AsyncGenerator<Buffer> {
    for (let i = 0; i < this.#times; i++) {
      for (const member of this.#members) {
        for (let at = 0; at < member.length; at += PIECE_BYTES) yield member.subarray(at, at + PIECE_BYTES);
      }
    }
  }
}

const PIECE_BYTES = 256 * 1024;
