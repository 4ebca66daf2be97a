import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Reader } from 'mmdb-lib';
import { isAsState } from './as-names.ts';

/** A file of the IP databases cannot be used. The message names the file. */
export class IpDatabaseError extends Error {
  override name = 'IpDatabaseError';
}

/** `combined` databases have all facts; `asn` and `country` databases are used together. */
export type Role = 'combined' | 'asn' | 'country';
export const ROLES: readonly Role[] = ['combined', 'asn', 'country'];

export interface DatabaseFile {
  readonly path: string;
  readonly role: Role;
  /** First day (milliseconds since 1970) for which the database is valid. */
  readonly from: number;
  /** Identifies the content of the file when the directory was opened. */
  readonly fingerprint: string;
}

/** Describes a database from the name and the end of its file. Throws IpDatabaseError. */
export function describeDatabase(dir: string, name: string): DatabaseFile {
  const path = join(dir, name);
  return { path, role: roleOf(name), from: validFrom(dir, name), fingerprint: fingerprintOf(path) };
}

/** Throws IpDatabaseError if the content of a file does not match `name`. The path may differ from the name while the file is fetched. */
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

/** Reads the text and the value of `all_as_org_map.json`. Throws IpDatabaseError if the file is not such a map. */
export function readAsNames(path: string): { text: string; map: Record<string, unknown> } {
  const text = readFileSync(path, 'utf8');
  let map: unknown;
  try {
    map = JSON.parse(text);
  } catch (error) {
    throw new IpDatabaseError(`${path} is not JSON: ${(error as Error).message.slice(0, 100)}`);
  }
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new IpDatabaseError(`${path} is not a map from AS number to its history`);
  }
  const entries = Object.values(map);
  if (entries.length > 0 && !entries.some(states => Array.isArray(states) && states.some(isAsState))) {
    throw new IpDatabaseError(`${path} has no AS as [organisation, country, changed, as name, registry]`);
  }
  return { text, map: map as Record<string, unknown> };
}

/** The end of a file identifies it: a database has its metadata there, including its build time, and gzip its checksum. */
const FINGERPRINT_BYTES = 64 * 1024;

/**
 * Identifies the content of a file by its size and its end. Reading some hundred databases completely would delay the start of a
 * worker by many seconds.
 */
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

/** Opens a database. Throws IpDatabaseError if the bytes are not a database. */
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

/** Reads a database, which must be unchanged since the directory was opened, because runs record that version. Throws IpDatabaseError. */
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
