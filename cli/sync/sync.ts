import { createWriteStream, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { SingleBar } from 'cli-progress';
import { type Archive, ArchiveError, type ArchiveObject, ObjectChangedError } from '../../pipeline/archive/archive.ts';
import { findDayFolders, listBucket } from '../../pipeline/archive/listing.ts';
import { bucketsBetween, granularityOf, nextBucket } from '../../pipeline/bucket.ts';
import { makeDirectory } from '../../pipeline/directories.ts';
import type { Filter } from '../../pipeline/filter.ts';
import { canRewrite } from '../colour.ts';
import { progressBar } from '../progress-bar.ts';

/** The objects cannot be stored. The message names the path. */
export class SyncError extends Error {
  override name = 'SyncError';
}

/** Result of a download, as `-o json` prints it. */
export interface SyncResult {
  /** Objects that were downloaded, or would be. */
  readonly objects: number;
  /** Compressed bytes of these objects. */
  readonly bytes: number;
  /** Objects that were there already. */
  readonly present: number;
  readonly failed: readonly { readonly key: string; readonly message: string }[];
  readonly stopped: boolean;
}

export interface SyncProgress {
  /** Objects and bytes that were found so far. */
  found(objects: number, bytes: number): void;
  /** An object is stored. */
  stored(object: ArchiveObject): void;
  received(bytes: number): void;
  end(): void;
}

interface SyncOptions {
  readonly dir: string;
  readonly transfers: number;
  readonly dryRun: boolean;
  readonly progress: SyncProgress;
  readonly signal: AbortSignal;
}

/** Ending of the file of an object until it is complete. */
const PART = '.part';

/**
 * Downloads the objects of a range under a filter into a directory, under their keys. An object is complete when its file has its size: it
 * is written under another name first. Throws ArchiveErrors of listings, and SyncError.
 */
export async function syncBuckets(
  archive: Archive,
  filter: Filter,
  { startAt, endAt }: { readonly startAt: string; readonly endAt: string },
  options: SyncOptions,
): Promise<SyncResult> {
  const { dir, transfers, dryRun, progress, signal } = options;
  await archive.check({ signal });
  const root = resolve(dir);
  const missing: ArchiveObject[] = [];
  const failed: { key: string; message: string }[] = [];
  let present = 0;
  let bytes = 0;
  for await (const object of objectsOf(archive, filter, { startAt, endAt }, signal)) {
    if (isStored(pathOf(root, object.key), object.size)) {
      present += 1;
      continue;
    }
    missing.push(object);
    bytes += object.size;
    progress.found(missing.length, bytes);
  }
  if (dryRun || signal.aborted) {
    return {
      objects: dryRun ? missing.length : 0,
      bytes: dryRun ? bytes : 0,
      present,
      failed,
      stopped: signal.aborted,
    };
  }
  let objects = 0;
  let stored = 0;
  const waiting = missing.values();
  await Promise.all(
    Array.from({ length: transfers }, async () => {
      for (const object of waiting) {
        if (signal.aborted) return;
        try {
          await download(archive, object, pathOf(root, object.key), progress, signal);
          objects += 1;
          stored += object.size;
          progress.stored(object);
        } catch (error) {
          if (signal.aborted) return;
          if (!(error instanceof ArchiveError)) throw error;
          failed.push({ key: object.key, message: error.message });
        }
      }
    }),
  );
  return { objects, bytes: stored, present, failed, stopped: signal.aborted };
}

async function* objectsOf(
  archive: Archive,
  filter: Filter,
  { startAt, endAt }: { readonly startAt: string; readonly endAt: string },
  signal: AbortSignal,
): AsyncGenerator<ArchiveObject> {
  const isHours = [startAt, endAt].some(bucket => granularityOf(bucket) === 'Hour');
  const last = nextBucket(endAt.slice(0, 10));
  const folders = await findDayFolders(archive, filter, { from: startAt.slice(0, 10), before: last }, signal);
  for (const bucket of bucketsBetween(startAt, endAt, isHours ? 'Hour' : 'Day')) {
    if (signal.aborted) return;
    if (folders.mayHold(bucket.slice(0, 10))) yield* listBucket(archive, bucket, filter, { folders, signal });
  }
}

/** Returns the path of an object. Throws SyncError for a key that would lie outside the directory. */
function pathOf(root: string, key: string): string {
  const path = resolve(root, key);
  if (path.startsWith(root.endsWith(sep) ? root : `${root}${sep}`)) return path;
  throw new SyncError(`the archive has the key ${JSON.stringify(key)}, which would lie outside of ${root}`);
}

function isStored(path: string, size: number): boolean {
  return existsSync(path) && statSync(path).size === size;
}

async function download(
  archive: Archive,
  object: ArchiveObject,
  path: string,
  progress: SyncProgress,
  signal: AbortSignal,
): Promise<void> {
  const part = join(dirname(path), `.${process.pid}-${path.slice(path.lastIndexOf(sep) + 1)}${PART}`);
  async function* chunks() {
    for await (const chunk of archive.open(object, { signal })) {
      progress.received(chunk.length);
      yield chunk;
    }
  }
  try {
    makeDirectory(dirname(path));
    await pipeline(Readable.from(chunks()), createWriteStream(part), { signal });
    const { size } = statSync(part);
    if (size !== object.size) {
      throw new ObjectChangedError(
        `${object.key} has ${size} bytes instead of the ${object.size} bytes of its listing`,
      );
    }
    renameSync(part, path);
  } catch (error) {
    if (existsSync(part)) rmSync(part, { force: true });
    if (error instanceof ArchiveError || signal.aborted) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new SyncError(`${path} cannot be written: ${message}`, { cause: error });
  }
}

/** Shows a bar on standard error if it is a terminal; otherwise a JSON line for each stored object. */
export function startSyncProgress(): SyncProgress {
  if (!canRewrite(process.stderr)) {
    return {
      found: () => {},
      received: () => {},
      stored: ({ key, size }) => console.error(JSON.stringify({ key, size })),
      end: () => {},
    };
  }
  let bar: SingleBar | undefined;
  let total = 0;
  let objects = 0;
  return {
    found: (_, bytes) => {
      total = bytes;
    },
    received: bytes => {
      if (!bar) {
        bar = progressBar('{bar} {percentage} %, {objects} objects, {duration_formatted} (about {eta_formatted} left)');
        bar.start(total, 0, { objects: 0 });
      }
      bar.increment(bytes, { objects });
    },
    stored: () => {
      objects += 1;
    },
    end: () => {
      bar?.stop();
      bar = undefined;
    },
  };
}
