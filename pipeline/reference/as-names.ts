/** Facts about an autonomous system at a time. */
export interface AsInfo {
  readonly org_name: string;
  readonly cc: string;
  readonly name: string;
}

/** One state of an autonomous system: `[organisation, country, changed (YYYYMMDD), as name, registry]`. */
type Entry = readonly [organisation: string, country: string, changed: string, name?: unknown, ...more: unknown[]];

/** Reports whether a value of the map has the required parts of a state. */
export function isAsState(state: unknown): state is Entry {
  return Array.isArray(state) && state.length >= 3 && state.slice(0, 3).every(part => typeof part === 'string');
}

const UNKNOWN: AsInfo = { org_name: 'Unknown', cc: 'ZZ', name: 'Unknown' };
const PRIVATE: AsInfo = { org_name: 'Private use (RFC1930)', cc: 'ZZ', name: 'Private use (RFC1930)' };
const UNMAPPED: AsInfo = { org_name: '', cc: '', name: '' };

/** Number of stored parts of a state: organisation, country, date, name. Each part is the number of a string. */
const PARTS = 4;
/** Number of decoded strings that a thread caches. */
const REMEMBERED = 20_000;

/**
 * Packs the map of AS numbers to organisations, `all_as_org_map.json` (observations.md section 4), into 32-bit numbers and text in
 * shared memory. The map has 26 MB of JSON, which takes a second to parse and several times its size in each heap. Call it once per
 * process.
 *
 * Layout: counts of systems, states and strings; AS numbers in order; the index of the first state for each AS, and one after the
 * last; four string numbers for each state; the start of each string, and one after the last; the strings.
 *
 * Values that are not states are omitted: another program makes the map, and one invalid AS must not prevent a worker from
 * starting.
 */
export function packAsNames(map: Readonly<Record<string, unknown>>): SharedArrayBuffer {
  const systems = Object.entries(map)
    .filter(([key]) => /^(0|[1-9]\d{0,9})$/.test(key) && Number(key) <= 0xffffffff)
    .map(([key, value]) => ({ asn: Number(key), states: Array.isArray(value) ? value.filter(isAsState) : [] }))
    .filter(({ states }) => states.length > 0)
    .sort((a, b) => a.asn - b.asn);
  const strings = new Map<string, number>();
  const numberOf = (value: unknown) => {
    const text = typeof value === 'string' ? value : '';
    const known = strings.get(text);
    if (known !== undefined) return known;
    strings.set(text, strings.size);
    return strings.size - 1;
  };
  const parts: number[] = [];
  for (const each of systems) {
    for (const state of each.states) for (let part = 0; part < PARTS; part++) parts.push(numberOf(state[part]));
  }
  const encoded = [...strings.keys()].map(text => Buffer.from(text));
  const numbers = 3 + systems.length + (systems.length + 1) + parts.length + (encoded.length + 1);
  const shared = new SharedArrayBuffer(numbers * 4 + encoded.reduce((sum, { length }) => sum + length, 0));
  const words = new Uint32Array(shared, 0, numbers);
  let at = 0;
  const write = (value: number) => {
    words[at++] = value;
  };
  for (const value of [systems.length, parts.length / PARTS, encoded.length]) write(value);
  for (const { asn } of systems) write(asn);
  let first = 0;
  for (const each of systems) {
    write(first);
    first += each.states.length;
  }
  write(first);
  for (const part of parts) write(part);
  const text = Buffer.from(shared, numbers * 4);
  let offset = 0;
  for (const bytes of encoded) {
    write(offset);
    bytes.copy(text, offset);
    offset += bytes.length;
  }
  write(offset);
  return shared;
}

/** Looks up autonomous systems in a packed map. */
export class AsNames {
  readonly #asns: Uint32Array;
  readonly #firsts: Uint32Array;
  readonly #parts: Uint32Array;
  readonly #offsets: Uint32Array;
  readonly #text: Buffer;
  readonly #known = new Map<number, string>();

  constructor(packed: SharedArrayBuffer = packAsNames({})) {
    const [systems, states, strings] = new Uint32Array(packed, 0, 3) as unknown as [number, number, number];
    let at = 12;
    const take = (length: number) => {
      const words = new Uint32Array(packed, at, length);
      at += length * 4;
      return words;
    };
    this.#asns = take(systems);
    this.#firsts = take(systems + 1);
    this.#parts = take(states * PARTS);
    this.#offsets = take(strings + 1);
    this.#text = Buffer.from(packed, at);
  }

  /**
   * Returns the last state that began at or before a time (milliseconds since 1970), otherwise the first state. `name` is the AS
   * name; upstream stores the date of the state instead (docs/deviations.md, as-name).
   */
  lookup(asn: number, instant: number): AsInfo {
    if (asn === 0) return UNKNOWN;
    if (asn >= 64512 && asn <= 65535) return PRIVATE;
    const system = this.#find(asn);
    if (system < 0) return UNMAPPED;
    const day = new Date(instant).toISOString().slice(0, 10).replaceAll('-', '');
    const [first, end] = [this.#firsts[system]!, this.#firsts[system + 1]!];
    let later = first;
    while (later < end && this.#string(later, 2) <= day) later++;
    const state = Math.max(first, later - 1);
    return { org_name: this.#string(state, 0), cc: this.#string(state, 1), name: this.#string(state, 3) };
  }

  /** Returns the index of an AS number, or a negative number if the map does not have it. */
  #find(asn: number): number {
    let [low, high] = [0, this.#asns.length - 1];
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = this.#asns[middle]!;
      if (found === asn) return middle;
      if (found < asn) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  #string(state: number, part: number): string {
    const number = this.#parts[state * PARTS + part]!;
    const known = this.#known.get(number);
    if (known !== undefined) return known;
    const text = this.#text.toString('utf8', this.#offsets[number], this.#offsets[number + 1]);
    if (this.#known.size >= REMEMBERED) this.#known.clear();
    this.#known.set(number, text);
    return text;
  }
}
