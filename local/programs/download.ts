import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { EnvHttpProxyAgent, fetch } from 'undici';
import type { Release } from './releases.ts';

/** A download that did not produce a program. The message gives the reason. */
export class DownloadError extends Error {
  override name = 'DownloadError';
}

/** Checks whether a site can be reached. Returns the reason if not, otherwise undefined. */
export async function unreachable(url: string, timeout = 4000): Promise<string | undefined> {
  const dispatcher = new EnvHttpProxyAgent();
  try {
    await fetch(url, { method: 'HEAD', redirect: 'manual', dispatcher, signal: AbortSignal.timeout(timeout) });
    return undefined;
  } catch (error) {
    return `${new URL(url).host}: ${reason(error)}`;
  } finally {
    void dispatcher.destroy();
  }
}

/**
 * Downloads a release, compares its SHA-256 with the pinned one (or, without that, with the published one), and puts the program at
 * `target` in one final step, so that a broken download never looks like a program.
 *
 * @param onProgress receives the bytes so far, and the total if it is known
 * @throws DownloadError if the network fails or the checksum differs
 */
export async function download(
  release: Release,
  site: string,
  target: string,
  onProgress: (bytes: number, total?: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const part = `${target}.${process.pid}.part`;
  const dispatcher = new EnvHttpProxyAgent({ headersTimeout: 20_000, bodyTimeout: 20_000 });
  try {
    const expected = release.sha256 ?? (await published(release, site, dispatcher));
    const response = await fetch(new URL(release.path, site), { dispatcher, signal });
    if (!response.ok || !response.body) throw new DownloadError(`${release.path}: HTTP ${response.status}`);
    const length = Number(response.headers.get('content-length')) || undefined;
    const hash = createHash('sha256');
    let bytes = 0;
    await pipeline(
      Readable.fromWeb(response.body),
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          hash.update(chunk);
          bytes += chunk.length;
          onProgress(bytes, length);
          yield chunk;
        }
      },
      createWriteStream(part),
    );
    const actual = hash.digest('hex');
    if (actual !== expected) {
      throw new DownloadError(`${new URL(release.path, site)} has SHA-256 ${actual}, not ${expected}: it is not used`);
    }
    let program = part;
    if (release.member) {
      program = `${part}.program`;
      await unpack(part, release.member, program);
    }
    await chmod(program, 0o755);
    await rename(program, target);
  } catch (error) {
    if (error instanceof DownloadError) throw error;
    throw new DownloadError(`${new URL(site).host}: ${reason(error)}`);
  } finally {
    void dispatcher.destroy();
    for (const file of [part, `${part}.program`]) await rm(file, { force: true });
  }
}

/** Returns the checksum that the project publishes with the release: a bare hash, or a line `hash  name`. */
async function published(release: Release, site: string, dispatcher: EnvHttpProxyAgent): Promise<string> {
  const response = await fetch(new URL(release.checksums, site), { dispatcher });
  if (!response.ok) throw new DownloadError(`${release.checksums}: HTTP ${response.status}`);
  const name = release.path.split('/').at(-1)!;
  const lines = (await response.text()).trim().split('\n');
  // An asterisk before the name marks a file that was read as bytes.
  const nameOf = (entry: string) => entry.trim().split(/\s+/)[1]?.replace(/^\*/, '');
  const line = lines.length === 1 ? lines[0] : lines.find(entry => nameOf(entry) === name);
  const hash = line?.trim().split(/\s+/)[0] ?? '';
  if (!/^[0-9a-f]{64}$/.test(hash)) throw new DownloadError(`${release.checksums} has no SHA-256 of ${name}`);
  return hash;
}

/** Unpacks one file of a compressed tar. Throws DownloadError if the tar does not contain it. */
async function unpack(archive: string, name: string, target: string): Promise<void> {
  const entries = extract();
  let found = false;
  const read = async () => {
    for await (const entry of entries) {
      if (entry.header.name.replace(/^\.\//, '') !== name) {
        entry.resume();
        continue;
      }
      found = true;
      await pipeline(entry, createWriteStream(target));
    }
  };
  await Promise.all([pipeline(createReadStream(archive), createGunzip(), entries), read()]);
  if (!found) throw new DownloadError(`the archive has no ${name}`);
}

/** Returns why a connection failed, without the wrapping errors. */
function reason(error: unknown): string {
  let inner = error as { cause?: unknown; message?: string; code?: string; name?: string };
  while (inner.cause) inner = inner.cause as typeof inner;
  if (inner.name === 'TimeoutError') return 'no answer';
  if (inner.code === 'ENOTFOUND' || inner.code === 'EAI_AGAIN') return 'its name is not known here';
  // The message of a refused connection has the address, which may be that of a proxy.
  return inner.code && !inner.message?.includes(inner.code) ? inner.code : (inner.message ?? String(error));
}
