import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Reader } from 'mmdb-lib';
import { AsNames, packAsNames } from './as-names.ts';
import { isBogon } from './bogons.ts';
import {
  type DatabaseFile,
  describeDatabase,
  IpDatabaseError,
  loadDatabase,
  openReader,
  ROLES,
  readAsNames,
} from './ip-files.ts';
import { addressForm, isIpLiteral } from './ip-literal.ts';
import { translatedAddress } from './nat64.ts';

/** Facts about an address (observations.md section 4). Field names are column names without `ip_`. */
export interface IpInfo {
  readonly asn: number;
  readonly as_org_name: string;
  readonly as_cc: string;
  readonly cc: string;
  readonly is_bogon: boolean;
}

/** One record of a combined database, or of a separate one for AS or country. */
interface IpRecord {
  autonomous_system_number?: number;
  autonomous_system_organization?: string;
  autonomous_system_country?: string;
  country?: { iso_code?: string };
}

/** Data that a process passes to its threads in `workerData`: the list of files, and AS names and databases in shared memory. */
export interface SharedIpMetadata {
  readonly version: string;
  readonly files: readonly DatabaseFile[];
  /** Result of packAsNames. */
  readonly asNames: SharedArrayBuffer | undefined;
  readonly loaded: ReadonlyMap<string, SharedArrayBuffer>;
}

const UNKNOWN: IpInfo = { asn: 0, as_org_name: '', as_cc: '', cc: 'ZZ', is_bogon: false };
const BOGON: IpInfo = { asn: 64666, as_org_name: 'Bogon', as_cc: 'ZZ', cc: 'ZZ', is_bogon: true };
/** Number of epochs that a thread keeps open, for measurements made long before their upload. The one opened first is closed first. */
const MAX_OPEN = 3;
const REMEMBERED = 50_000;
/** Longer texts are not addresses, or have an invented zone. Caching them would fill memory. */
const LONGEST_REMEMBERED = 64;

/** The databases that are valid from one day until the next epoch begins. */
interface Epoch {
  readonly from: number;
  readonly files: readonly DatabaseFile[];
  view?: IpView;
}

/** IP databases by the day from which they are valid, and the names of autonomous systems. Lookups are synchronous. */
export class IpMetadata {
  /** Identifies the files and their content for the record of a run, the same on every machine. `none` without databases. */
  readonly version: string;
  readonly #shared: SharedIpMetadata;
  readonly #asNames: AsNames;
  readonly #epochs: readonly Epoch[];
  /** Epochs with open databases, in the order in which they were opened. */
  readonly #open: Epoch[] = [];

  constructor(shared: SharedIpMetadata) {
    this.#shared = shared;
    this.version = shared.version;
    this.#asNames = new AsNames(shared.asNames);
    this.#epochs = epochsOf(shared.files);
  }

  /** Returns the metadata valid at a time (milliseconds since 1970). Throws IpDatabaseError. */
  at(instant: number): IpView {
    const epoch = this.#epochAt(instant);
    if (!epoch.view) {
      epoch.view = new IpView(
        epoch.files.map(file => ({ reader: this.#read(file), path: file.path })),
        this.#asNames,
      );
      if (this.#open.length >= MAX_OPEN) this.#open.shift()!.view = undefined;
      this.#open.push(epoch);
    }
    return epoch.view;
  }

  /**
   * Returns the data for threads. The databases valid at the given times are in shared memory, so that each is loaded once per
   * process. A thread opens other databases itself when a measurement needs them.
   */
  share(instants: readonly number[]): SharedIpMetadata {
    const loaded = new Map(this.#shared.loaded);
    for (const file of instants.flatMap(instant => this.#epochAt(instant).files)) {
      if (!loaded.has(file.path)) loaded.set(file.path, loadShared(file));
    }
    return { ...this.#shared, loaded };
  }

  /** Returns the last epoch that began at or before a time, otherwise the first epoch. */
  #epochAt(instant: number): Epoch {
    let i = this.#epochs.length - 1;
    while (i > 0 && this.#epochs[i]!.from > instant) i--;
    return this.#epochs[i]!;
  }

  #read(file: DatabaseFile): Reader<never> {
    const shared = this.#shared.loaded.get(file.path);
    return openReader(shared ? Buffer.from(shared) : loadDatabase(file), file.path);
  }
}

/** Makes the epochs. Each file begins an epoch, which has the newest file of each role, or the first one if none is valid yet. */
function epochsOf(files: readonly DatabaseFile[]): Epoch[] {
  const days = [...new Set(files.map(file => file.from))].sort((a, b) => a - b);
  const roles = ROLES.map(role => files.filter(file => file.role === role)).filter(some => some.length > 0);
  return (days.length > 0 ? days : [0]).map(from => ({
    from,
    files: roles.map(some => some.findLast(file => file.from <= from) ?? some[0]!),
  }));
}

interface Database {
  readonly reader: Reader<never>;
  readonly path: string;
}

/** Lookups in the databases that are valid at one time. */
export class IpView {
  readonly #databases: readonly Database[];
  readonly #asNames: AsNames;
  readonly #known = new Map<string, IpInfo>();

  constructor(databases: readonly Database[], asNames: AsNames) {
    this.#databases = databases;
    this.#asNames = asNames;
  }

  /**
   * Looks up an address; one that NAT64 translates, or that is IPv4-mapped, is looked up by the IPv4 address in it. A text that is not an
   * IP literal is unknown. Throws IpDatabaseError if the database is damaged.
   */
  ip(address: string): IpInfo {
    const known = this.#known.get(address);
    if (known) return known;
    const info = this.#look(address);
    if (address.length > LONGEST_REMEMBERED) return info;
    if (this.#known.size >= REMEMBERED) this.#known.clear();
    this.#known.set(address, info);
    return info;
  }

  /** Looks up an autonomous system at a time. */
  as(asn: number, instant: number) {
    return this.#asNames.lookup(asn, instant);
  }

  #look(address: string): IpInfo {
    if (!isIpLiteral(address)) return UNKNOWN;
    const plain = addressForm(address);
    if (plain !== address) return this.#look(plain);
    const translated = translatedAddress(address);
    if (translated !== undefined) return this.#look(translated);
    if (isBogon(address)) return BOGON;
    const ip = address.split('%', 1)[0]!;
    const records = this.#databases.map(database => recordOf(database, ip)).filter(record => record !== null);
    if (records.length === 0) return UNKNOWN;
    const first = <T>(pick: (record: IpRecord) => T | undefined, otherwise: T): T =>
      records.map(pick).find(value => value !== undefined) ?? otherwise;
    return {
      asn: first(record => record.autonomous_system_number, 0),
      as_org_name: first(record => record.autonomous_system_organization, ''),
      as_cc: first(record => record.autonomous_system_country, ''),
      cc: first(record => record.country?.iso_code, 'ZZ'),
      is_bogon: false,
    };
  }
}

function recordOf({ reader, path }: Database, ip: string): IpRecord | null {
  try {
    return reader.get(ip) as IpRecord | null;
  } catch (error) {
    throw new IpDatabaseError(`${path} is damaged: ${(error as Error).message} (looking for ${ip})`);
  }
}

/**
 * Opens a directory of IP databases: `YYYYMMDD-*.mmdb` or `.mmdb.gz` (without a date in the name, the build day counts), and
 * `all_as_org_map.json` if present. Without a directory only bogons are known. Throws IpDatabaseError.
 */
export function openIpMetadata(dir: string | undefined): IpMetadata {
  if (!dir) return new IpMetadata({ version: 'none', files: [], asNames: undefined, loaded: new Map() });
  if (!existsSync(dir)) throw new IpDatabaseError(`geoip_dir names ${dir}, which does not exist`);
  const names = readdirSync(dir).sort();
  // `x.mmdb` may be the unpacked `x.mmdb.gz`: only one of them is used.
  const databases = names.filter(
    name => name.endsWith('.mmdb') || (name.endsWith('.mmdb.gz') && !names.includes(name.slice(0, -3))),
  );
  if (databases.length === 0) {
    throw new IpDatabaseError(
      `geoip_dir ${dir} holds no *.mmdb or *.mmdb.gz; leave geoip_dir empty to run without IP metadata`,
    );
  }
  const files = databases.map(name => describeDatabase(dir, name));
  const map = join(dir, 'all_as_org_map.json');
  const asMap = existsSync(map) ? readAsNames(map) : undefined;
  const hash = createHash('sha256');
  for (const [index, name] of databases.entries()) hash.update(`${name} ${files[index]!.fingerprint}\n`);
  hash.update(asMap?.text ?? '');
  const asNames = asMap && packAsNames(asMap.map);
  const version = `${databases.at(-1)} and ${databases.length - 1} more (${hash.digest('hex').slice(0, 12)})`;
  return new IpMetadata({ version, files: files.sort((a, b) => a.from - b.from), asNames, loaded: new Map() });
}

function loadShared(file: DatabaseFile): SharedArrayBuffer {
  const bytes = loadDatabase(file);
  const shared = new SharedArrayBuffer(bytes.length);
  bytes.copy(Buffer.from(shared));
  return shared;
}
