import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pack } from 'tar-stream';
import { onTestFinished } from 'vitest';
import type { Archive } from '../../pipeline/archive/archive.ts';
import { DirectoryArchive } from '../../pipeline/archive/directory.ts';
import type { RawDocument } from '../../pipeline/archive/document.ts';
import { type FileEnd, readDocuments } from '../../pipeline/archive/documents.ts';
import { type ArchiveFile, isBadKey, parseKey } from '../../pipeline/archive/keys.ts';

/** Creates a directory that is removed at the end of the test. */
export function temporaryDirectory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'archive-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Creates a directory archive for one test. */
export function makeArchive(objects: Record<string, Uint8Array | string>): { archive: DirectoryArchive; root: string } {
  const root = temporaryDirectory();
  for (const [key, content] of Object.entries(objects)) {
    mkdirSync(dirname(join(root, key)), { recursive: true });
    writeFileSync(join(root, key), content);
  }
  return { archive: new DirectoryArchive(root), root };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Returns a tar of files as bytes. */
export async function tarOf(members: readonly (readonly [name: string, content: string | Buffer])[]): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of members) tar.entry({ name }, content);
  tar.finalize();
  return Buffer.concat(await collect(tar as AsyncIterable<Buffer>));
}

/** Returns the file of an archive with the given key. */
export async function fileOf(archive: Archive, key: string): Promise<ArchiveFile> {
  const [object] = await collect(archive.list(key));
  const file = parseKey(object!);
  if (!file || isBadKey(file)) throw new Error(`${key} is not the key of a measurement file`);
  return file;
}

/** Reads one object and returns all its documents and the reader's final result. */
export async function readAll(
  archive: Archive,
  key: string,
  maxMeasurementBytes = 1024 * 1024,
): Promise<{ documents: RawDocument[]; end: FileEnd }> {
  const reading = readDocuments(archive, await fileOf(archive, key), { maxMeasurementBytes });
  const documents: RawDocument[] = [];
  for (;;) {
    const next = await reading.next();
    if (next.done) return { documents, end: next.value };
    documents.push(...next.value.map(owned));
  }
}

/** Copies a document, so that it stays valid longer than its reader. */
function owned(document: RawDocument): RawDocument {
  return { ...document, bytes: Buffer.from(document.bytes) };
}
