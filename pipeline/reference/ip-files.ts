import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Reader } from 'mmdb-lib';
import { isAsState } from './as-names.ts';

/** A file of the IP databases that cannot be used: names the file. */
export class IpDatabaseError extends Error {
  override name = 'IpDatabaseError';
}

/** `combined` databases know everything; `asn` and `country` databases stand side by side. */
export type Role = 'combined' | 'asn' | 'country';
export const ROLES: readonly Role[] = ['combined', 'asn', 'country'];

export interface DatabaseFile {
  readonly path: string;
  readonly role: Role;
  /** First day (milliseconds since 1970) for which the database holds. */
  readonly from: number;
  /** What the file held when the directory was opened. */
  readonly fingerprint: string;
}

/** What a file's name and end tell of it. Throws IpDatabaseError. */
export function describeDatabase(dir: string, name: string): DatabaseFile {
  const path = join(dir, name);
  return { path, role: roleOf(name), from: validFrom(dir, name), fingerprint: fingerprintOf(path) };
}

/** Throws IpDatabaseError unless a file holds what its name (another one, while it is being fetched) says. */
export function checkIpFile(path: string, name: string): void {
  if (name.endsWith('.json')) readAsNames(path);
  else openReader(loadFile(path, name), path);
}

function roleOf(name: string): Role {
  if (/country_as/i.test(name)) return 'combined';
  if (/asn/i.test(name)) return 'asn';
  return /country/i.test(name) ? 'country' : 'combined';
}

function validFrom(dir: string, name: string): number {
  const date = /^(\d{4})(\d{2})(\d{2})-/.exec(name);
  const day = date
    ? Date.parse(`${date[1]}-${date[2]}-${date[3]}T00:00:00Z`)
    : openFile(join(dir, name)).metadata.buildEpoch.getTime();
  if (Number.isNaN(day)) throw new IpDatabaseError(`${join(dir, name)} begins with a date that is not in the calendar`);
  return day;
}

/** The text of `all_as_org_map.json`, and what it holds. Throws IpDatabaseError when it cannot be that. */
export function readAsNames(path: string): { text: string; map: Record<string, unknown> } {
  const text = readFileSync(path, 'utf8');
  let map: unknown;
  try {
    map = JSON.parse(text);
  } catch (error) {
    throw new IpDatabaseError(`${path} is not JSON: ${(error as Error).message.slice(0, 100)}`);
  }
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new IpDatabaseError(`${path} is no map from AS number to its history`);
  }
  const entries = Object.values(map);
  if (entries.length > 0 && !entries.some(states => Array.isArray(states) && states.some(isAsState))) {
    throw new IpDatabaseError(`${path} knows no AS as [organisation, country, changed, as name, registry]`);
  }
  return { text, map: map as Record<string, unknown> };
}

/** The end of a file identifies it: there lie the metadata of a database, with the time it was built, and the checksum of gzip. */
const FINGERPRINT_BYTES = 64 * 1024;

/** What a file holds, by its size and its end; reading all of some hundred databases would take a worker's start many seconds. */
function fingerprintOf(path: string): string {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const { size } = fstatSync(file);
    const end = Buffer.alloc(Math.min(size, FINGERPRINT_BYTES));
    readSync(file, end, 0, end.length, size - end.length);
    return fingerprint(size, end);
  } catch (error) {
    throw cannotRead(path, error);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function fingerprint(size: number, end: Buffer): string {
  return createHash('sha256').update(`${size} `).update(end).digest('hex');
}

function openFile(path: string): Reader<never> {
  return openReader(loadFile(path), path);
}

/** Throws IpDatabaseError when the bytes are no database. */
export function openReader(bytes: Buffer, path: string): Reader<never> {
  try {
    return new Reader(bytes);
  } catch (error) {
    throw new IpDatabaseError(`${path} is not a MaxMind DB: ${(error as Error).message}`);
  }
}

function loadFile(path: string, name = path): Buffer {
  try {
    return unpacked(readFileSync(path), name);
  } catch (error) {
    throw cannotRead(path, error);
  }
}

/** The bytes of a database, which must be those of the version that runs are recorded with. Throws IpDatabaseError. */
export function loadDatabase({ path, fingerprint: expected }: DatabaseFile): Buffer {
  try {
    const bytes = readFileSync(path);
    if (fingerprint(bytes.length, bytes.subarray(-FINGERPRINT_BYTES)) === expected) return unpacked(bytes, path);
  } catch (error) {
    throw cannotRead(path, error);
  }
  throw new IpDatabaseError(
    `${path} is another file than when this process began; restart it, and give new databases new names`,
  );
}

function unpacked(bytes: Buffer, name: string): Buffer {
  return name.endsWith('.gz') ? gunzipSync(bytes) : bytes;
}

function cannotRead(path: string, error: unknown): IpDatabaseError {
  return new IpDatabaseError(`${path} cannot be read: ${(error as Error).message}`);
}
