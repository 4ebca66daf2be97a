/** Characters of a text that is worth a look into the pool. V8 keeps shorter ones of a JSON text once by itself; longer ones hardly repeat. */
const [SHORTEST, LONGEST] = [11, 256];
/** Number of texts of a generation. */
const GENERATION = 1000;

/**
 * Keeps frequent texts, so that equal ones take memory once. It forgets a text that has not been seen among the last thousand different
 * ones, because names and uids do not repeat.
 */
export class TextPool {
  #young = new Map<string, string>();
  #old = new Map<string, string>();

  /** Number of texts, at most two thousand. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** Returns the first text that was equal to this one. */
  same(text: string): string {
    if (text.length < SHORTEST || text.length > LONGEST) return text;
    const young = this.#young.get(text);
    if (young !== undefined) return young;
    const kept = this.#old.get(text) ?? text;
    if (this.#young.size >= GENERATION) [this.#old, this.#young] = [this.#young, new Map()];
    this.#young.set(kept, kept);
    return kept;
  }
}

/**
 * Freezes a value from JSON with all that it contains, and takes equal texts from the pool. Returns the same value. (10,000 ended
 * Backfills: 19 MB of heap without the pool, 14 MB with it.)
 */
export function freeze<V>(value: V, pool: TextPool): V {
  if (value === null || typeof value !== 'object' || Object.isFrozen(value)) return value;
  const fields = value as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    const field = fields[name];
    if (typeof field === 'string') fields[name] = pool.same(field);
    else freeze(field, pool);
  }
  return Object.freeze(value);
}
