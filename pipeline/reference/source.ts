import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { gunzipSync } from 'node:zlib';
import { extract } from 'tar-stream';
import { hidePassword, hidePasswords } from '../hide-password.ts';
import { sentence } from '../sentence.ts';
import { hashOf, ReferenceDataError } from './dataset.ts';

/** Maximum size of a source. No real source is near it, so a longer response is wrong. */
const MAX_BYTES = 256 * 1024 * 1024;
const TIMEOUT = 120_000;

/** Reads the bytes of a source, a file or an http(s) URL, and decompresses gzip. Throws ReferenceDataError with the source and the remedy. */
export async function readSource(source: string, signal?: AbortSignal): Promise<Buffer> {
  const bytes = /^https?:\/\//.test(source) ? await download(source, signal) : await readLocal(source, signal);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_BYTES });
  } catch (error) {
    throw new ReferenceDataError(
      `${hidePassword(source)} is not readable gzip: ${sentence((error as Error).message)} Nothing was changed.`,
    );
  }
}

/**
 * Reads the files below a source: a directory, or a tar (gzipped or not) such as GitHub makes of a repository. Reads only names
 * that end with `suffix`. Returns names relative to the source, sorted.
 */
export async function readFiles(source: string, suffix: string, signal?: AbortSignal): Promise<[string, Buffer][]> {
  const directory = !/^https?:\/\//.test(source) && (await stat(source).catch(() => undefined))?.isDirectory();
  const files: [string, Buffer][] = directory
    ? await readDirectory(source, suffix, signal)
    : await untar(source, suffix, await readSource(source, signal));
  return files.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Returns one hash of all names and contents. */
export function hashOfFiles(files: readonly (readonly [string, Buffer])[]): string {
  return hashOf(Buffer.from(files.map(([name, bytes]) => `${name} ${hashOf(bytes)}\n`).join('')));
}

async function readLocal(path: string, signal?: AbortSignal): Promise<Buffer> {
  try {
    return await readFile(path, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new ReferenceDataError(
      `cannot read ${hidePassword(path)}: ${sentence(hidePasswords((error as Error).message))} Nothing was changed.`,
    );
  }
}

async function download(url: string, signal?: AbortSignal): Promise<Buffer> {
  const deadline = AbortSignal.timeout(TIMEOUT);
  const shown = hidePassword(url);
  if (!URL.canParse(url)) throw new ReferenceDataError(`${shown} is not a URL. Nothing was changed.`);
  const { address, headers } = withoutUser(new URL(url));
  try {
    const response = await fetch(address, {
      headers,
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
    if (!response.ok) throw new ReferenceDataError(`${shown} answered ${response.status}. Nothing was changed.`);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body ?? []) {
      size += chunk.length;
      if (size > MAX_BYTES) throw new ReferenceDataError(`${shown} is longer than 256 MB. Nothing was changed.`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ReferenceDataError) throw error;
    const { message, cause } = error as Error & { cause?: { code?: string } };
    throw new ReferenceDataError(
      `cannot fetch ${shown}: ${sentence(cause?.code ?? hidePasswords(message))} The data that was loaded before stays in use; without a network, name a local file in the settings.`,
    );
  }
}

/**
 * Splits a URL into one without user and password, and the header with them. `fetch` rejects a URL with a password and repeats it
 * in its message.
 */
function withoutUser(url: URL): { address: URL; headers: Record<string, string> } {
  const { username, password } = url;
  if (username === '' && password === '') return { address: url, headers: {} };
  const address = new URL(url);
  [address.username, address.password] = ['', ''];
  const plain = (part: string) => (/%(?![0-9a-f]{2})/i.test(part) ? part : decodeURIComponent(part));
  const basic = Buffer.from(`${plain(username)}:${plain(password)}`).toString('base64');
  return { address, headers: { authorization: `Basic ${basic}` } };
}

async function readDirectory(root: string, suffix: string, signal?: AbortSignal): Promise<[string, Buffer][]> {
  const names = (await readdir(root, { recursive: true, withFileTypes: true }))
    .filter(entry => entry.isFile() && entry.name.endsWith(suffix))
    .map(entry => join(entry.parentPath, entry.name));
  return Promise.all(
    names.map(async name => [relative(root, name), await readLocal(name, signal)] as [string, Buffer]),
  );
}

async function untar(source: string, suffix: string, bytes: Buffer): Promise<[string, Buffer][]> {
  const files: [string, Buffer][] = [];
  const tar = extract();
  tar.on('entry', (header, stream, next) => {
    const chunks: Buffer[] = [];
    stream.on('data', chunk => chunks.push(chunk as Buffer));
    stream.on('end', () => {
      if (header.type === 'file' && header.name.endsWith(suffix)) files.push([header.name, Buffer.concat(chunks)]);
      next();
    });
  });
  try {
    await pipeline(Readable.from([bytes]), tar);
  } catch (error) {
    throw new ReferenceDataError(
      `${hidePassword(source)} is neither a directory nor a tar: ${sentence((error as Error).message)} Nothing was changed.`,
    );
  }
  return files;
}
