const PRIME_1 = 0x9e3779b1;
const PRIME_2 = 0x85ebca77;
const PRIME_3 = 0xc2b2ae3d;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;
const STRIPE = 16;

/** Computes XXH32 with seed 0 incrementally: the checksum of the LZ4 frame format. */
export class XxHash32 {
  #a = (PRIME_1 + PRIME_2) | 0;
  #b = PRIME_2 | 0;
  #c = 0;
  #d = -PRIME_1 | 0;
  #length = 0;
  /** Bytes that do not yet fill a stripe. */
  readonly #rest = Buffer.alloc(STRIPE);
  #resting = 0;

  update(bytes: Buffer): this {
    this.#length += bytes.length;
    let at = 0;
    if (this.#resting > 0) {
      at = Math.min(STRIPE - this.#resting, bytes.length);
      bytes.copy(this.#rest, this.#resting, 0, at);
      this.#resting += at;
      if (this.#resting < STRIPE) return this;
      this.#stripes(this.#rest, 0, STRIPE);
      this.#resting = 0;
    }
    const end = at + Math.floor((bytes.length - at) / STRIPE) * STRIPE;
    this.#stripes(bytes, at, end);
    this.#resting = bytes.copy(this.#rest, 0, end);
    return this;
  }

  /** Returns the checksum of all bytes so far, as an unsigned number. */
  digest(): number {
    let hash = PRIME_5 | 0;
    if (this.#length >= STRIPE) {
      hash = (rotate(this.#a, 1) + rotate(this.#b, 7) + rotate(this.#c, 12) + rotate(this.#d, 18)) | 0;
    }
    hash = (hash + this.#length) | 0;
    let at = 0;
    for (; at + 4 <= this.#resting; at += 4) {
      hash = Math.imul(rotate((hash + Math.imul(this.#rest.readInt32LE(at), PRIME_3)) | 0, 17), PRIME_4);
    }
    for (; at < this.#resting; at++) {
      hash = Math.imul(rotate((hash + Math.imul(this.#rest[at]!, PRIME_5)) | 0, 11), PRIME_1);
    }
    hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
    hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  #stripes(bytes: Buffer, start: number, end: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let [a, b, c, d] = [this.#a, this.#b, this.#c, this.#d];
    for (let at = start; at < end; at += STRIPE) {
      a = round(a, view.getInt32(at, true));
      b = round(b, view.getInt32(at + 4, true));
      c = round(c, view.getInt32(at + 8, true));
      d = round(d, view.getInt32(at + 12, true));
    }
    [this.#a, this.#b, this.#c, this.#d] = [a, b, c, d];
  }
}

function round(lane: number, word: number): number {
  return Math.imul(rotate((lane + Math.imul(word, PRIME_2)) | 0, 13), PRIME_1);
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
