import { createWriteStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Archive, ArchiveObject } from '../archive/archive.ts';
import { makeDirectory } from '../directories.ts';
import { isSystemError } from '../system-error.ts';
import { checkIpFile, IpDatabaseError } from './ip-files.ts';

/** Where OONI's archive keeps them (observations.md section 4). */
const PREFIX = 'ip2country-as/';
const AS_NAMES = 'all_as_org_map.json';
const DATABASE = /^(\d{8})-[^/]*\.mmdb(\.gz)?$/;

export interface FetchOptions {
  /** YYYY-MM-DD: leaves out databases that no measurement of that day or a later one needs. */
  readonly since?: string;
  readonly signal?: AbortSignal;
  /** Told of each file once it is there. */
  readonly onFile?: (name: string, bytes: number) => void;
}

/** How many files there are now, and how many of them were fetched. */
export interface FetchedDatabases {
  readonly files: number;
  readonly fetched: number;
}

/**
 * Fetches from an archive the IP databases, and the names of autonomous systems, that a directory lacks. A file is there whole and
 * usable, or not at all; one that has the size of the archive's is left alone. May be broken off and called again. Throws
 * IpDatabaseError when the archive has none or a broken one or the directory cannot be written, and the archive's errors.
 */
export async function fetchIpDatabases(
  archive: Archive,
  dir: string,
  options: FetchOptions = {},
): Promise<FetchedDatabases> {
  const { since, signal, onFile } = options;
  const listed: ArchiveObject[] = [];
  for await (const object of archive.list(PREFIX, { signal })) if (isWanted(object)) listed.push(object);
  const wanted = since === undefined ? listed : neededSince(listed, since.replaceAll('-', ''));
  if (!wanted.some(({ key }) => DATABASE.test(nameOf(key)))) {
    throw new IpDatabaseError(
      `${archive.url} has no YYYYMMDD-*.mmdb(.gz) under ${PREFIX}; OONI's own has: ARCHIVE_URL=s3://ooni-data-eu-fra`,
    );
  }
  let fetched = 0;
  try {
    makeDirectory(dir);
    for (const object of wanted) {
      const path = join(dir, nameOf(object.key));
      const there = await stat(path).catch(() => undefined);
      if (there?.size === object.size) continue;
      await fetchFile(archive, object, path, signal);
      fetched++;
      onFile?.(nameOf(object.key), object.size);
    }
  } catch (error) {
    // Of the operating system's errors those of the archive have become its own.
    if (!isSystemError(error)) throw error;
    throw new IpDatabaseError(`${dir} cannot take the IP databases: ${error.message}`, { cause: error });
  }
  return { files: wanted.length, fetched };
}

/** Empty objects are placeholders, which upstream's client passes over as well. */
function isWanted({ key, size }: ArchiveObject): boolean {
  const name = nameOf(key);
  return size > 0 && (name === AS_NAMES || DATABASE.test(name));
}

/** Those from a day (YYYYMMDD) on, the one that holds on that day, and what is no database. */
function neededSince(objects: readonly ArchiveObject[], day: string): ArchiveObject[] {
  const dates = objects.flatMap(({ key }) => DATABASE.exec(nameOf(key))?.[1] ?? []).sort();
  const first = dates.findLast(date => date <= day) ?? dates[0];
  return objects.filter(({ key }) => (DATABASE.exec(nameOf(key))?.[1] ?? first)! >= first!);
}

function nameOf(key: string): string {
  return key.slice(PREFIX.length);
}

async function fetchFile(archive: Archive, object: ArchiveObject, path: string, signal?: AbortSignal): Promise<void> {
  const part = `${path}.${process.pid}.part`;
  try {
    await pipeline(archive.open(object, { signal }), createWriteStream(part));
    checkIpFile(part, nameOf(object.key));
    // The name must not come to stand for bytes that a power cut takes away.
    const file = await open(part);
    await file.sync().finally(() => file.close());
    await rename(part, path);
  } finally {
    await rm(part, { force: true });
  }
}
