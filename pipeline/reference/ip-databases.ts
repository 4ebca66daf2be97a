import { createWriteStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Archive, ArchiveObject } from '../archive/archive.ts';
import { makeDirectory } from '../directories.ts';
import { isSystemError } from '../system-error.ts';
import { checkIpFile, IpDatabaseError } from './ip-files.ts';

/** Folder of the databases in OONI's archive (observations.md section 4). */
const PREFIX = 'ip2country-as/';
const AS_NAMES = 'all_as_org_map.json';
const DATABASE = /^(\d{8})-[^/]*\.mmdb(\.gz)?$/;

export interface FetchOptions {
  /** YYYY-MM-DD. Omits databases that are needed only for measurements before this day. */
  readonly since?: string;
  readonly signal?: AbortSignal;
  /** Called for each file after it is stored. */
  readonly onFile?: (name: string, bytes: number) => void;
}

/** Number of files in the directory, and number of fetched files. */
export interface FetchedDatabases {
  readonly files: number;
  readonly fetched: number;
}

/**
 * Fetches the IP databases and the names of autonomous systems that a directory lacks from an archive. Each file is stored complete
 * and usable, or not at all; a file with the same size as in the archive is not fetched again. The call may be interrupted and
 * repeated. Throws IpDatabaseError if the archive has no database or a broken one, or the directory cannot be written. Throws the
 * archive's errors.
 */
export async function fetchIpDatabases(
  archive: Archive,
  dir: string,
  options: FetchOptions = {},
): Promise<FetchedDatabases> {
  const { since, signal, onFile } = options;
  const listed: ArchiveObject[] = [];
  for await (const object of archive.list(PREFIX, { signal })) if (isWanted(object)) listed.push(object);
  const needed = since === undefined ? listed : neededSince(listed, since.replaceAll('-', ''));
  if (!needed.some(({ key }) => DATABASE.test(nameOf(key)))) {
    throw new IpDatabaseError(
      `${archive.url} has no YYYYMMDD-*.mmdb(.gz) under ${PREFIX}; OONI's own has: ARCHIVE_URL=s3://ooni-data-eu-fra`,
    );
  }
  let fetched = 0;
  try {
    makeDirectory(dir);
    for (const object of needed) {
      const path = join(dir, nameOf(object.key));
      const there = await stat(path).catch(() => undefined);
      if (there?.size === object.size) continue;
      await fetchFile(archive, object, path, signal);
      fetched++;
      onFile?.(nameOf(object.key), object.size);
    }
  } catch (error) {
    // Errors of the operating system come from the directory, because the archive converts its own.
    if (!isSystemError(error)) throw error;
    throw new IpDatabaseError(`${dir} cannot take the IP databases: ${error.message}`, { cause: error });
  }
  return { files: needed.length, fetched };
}

/** Rejects empty objects: they are placeholders, which upstream's client also ignores. */
function isWanted({ key, size }: ArchiveObject): boolean {
  const name = nameOf(key);
  return size > 0 && (name === AS_NAMES || DATABASE.test(name));
}

/** Selects the databases dated `day` (YYYYMMDD) or later, the one valid on that day, and files that are not databases. */
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
    // Without the sync, a power failure could leave the final name with missing bytes.
    const file = await open(part);
    await file.sync().finally(() => file.close());
    await rename(part, path);
  } finally {
    await rm(part, { force: true });
  }
}
