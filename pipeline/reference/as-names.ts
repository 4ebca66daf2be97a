/** What is known of an autonomous system at some time. */
export interface AsInfo {
  readonly org_name: string;
  readonly cc: string;
  readonly name: string;
}

/** One state of an autonomous system: `[organisation, country, changed (YYYYMMDD), as name, registry]`. */
type Entry = readonly [organisation: string, country: string, changed: string, name?: unknown, ...more: unknown[]];

/** Whether a value of the map has the parts that are looked at. */
export function isAsState(state: unknown): state is Entry {
  return Array.isArray(state) && state.length >= 3 && state.slice(0, 3).every(part => typeof part === 'string');
}

const UNKNOWN: AsInfo = { org_name: 'Unknown', cc: 'ZZ', name: 'Unknown' };
const PRIVATE: AsInfo = { org_name: 'Private use (RFC1930)', cc: 'ZZ', name: 'Private use (RFC1930)' };
const UNMAPPED: AsInfo = { org_name: '', cc: '', name: '' };

/** The map of AS numbers to organisations, `all_as_org_map.json` (observations.md section 4). */
export class AsNames {
  private readonly entries: ReadonlyMap<string, readonly Entry[]>;

  /** What is no state is left out: the map is made by a program of somebody else, and one AS must not keep a worker from its start. */
  constructor(map: Readonly<Record<string, unknown>> = {}) {
    const states = (value: unknown) => (Array.isArray(value) ? value.filter(isAsState) : []);
    this.entries = new Map(Object.entries(map).map(([asn, value]) => [asn, states(value)]));
  }

  /**
   * The last state that had begun by an instant (milliseconds since 1970), else the first. Where upstream stores the date of that
   * state as the name, this gives the name (docs/deviations.md, as-name).
   */
  lookup(asn: number, instant: number): AsInfo {
    if (asn === 0) return UNKNOWN;
    if (asn >= 64512 && asn <= 65535) return PRIVATE;
    const states = this.entries.get(String(asn));
    if (!states?.[0]) return UNMAPPED;
    const day = new Date(instant).toISOString().slice(0, 10).replaceAll('-', '');
    const later = states.findIndex(([, , changed]) => changed > day);
    const [org_name, cc, , name] = states[later < 0 ? states.length - 1 : Math.max(0, later - 1)]!;
    return { org_name, cc, name: typeof name === 'string' ? name : '' };
  }
}
