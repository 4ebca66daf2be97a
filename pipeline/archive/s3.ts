import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, ListObjectsV2Command, type ListObjectsV2CommandOutput, S3Client } from '@aws-sdk/client-s3';
import { backOff } from '../back-off.ts';
import {
  type Archive,
  ArchiveError,
  type ArchiveObject,
  ArchiveUnavailableError,
  compareKeys,
  type ListOptions,
  MEASUREMENT_FOLDERS,
  noFolders,
  ObjectChangedError,
  type OpenOptions,
} from './archive.ts';
import { type RequestTarget, toArchiveError } from './s3-errors.ts';

/** Attempts for each request. The SDK's back-off doubles from half a second up to 20 s when the server asks to slow down. */
const REQUEST_ATTEMPTS = 8;
/** Number of times in a row that a transfer may break without a single new byte. */
const TRANSFER_ATTEMPTS = 8;
/** Waits between them, in milliseconds. */
const WAITS = { initial: 200, longest: 20_000 };
const CONNECT_MS = 10_000;
/** Maximum time until the server begins an answer, and maximum pause within an answer. */
const SILENCE_MS = 60_000;

export interface S3Options {
  readonly bucket: string;
  /** Prefix of every key, without a slash at the end; may be empty. */
  readonly prefix?: string;
  readonly region: string;
  /** URL of a server that is not Amazon's. */
  readonly endpoint?: string;
  readonly pathStyle?: boolean;
  /** Without credentials requests are not signed; OONI's buckets allow this. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Attempts for each request and each transfer. Tests use a small number. */
  readonly attempts?: number;
}

/** An archive in an S3 bucket. All of its listings and transfers share one connection pool, which `close` ends. */
export class S3Archive implements Archive {
  readonly url: string;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #transferAttempts: number;

  constructor(options: S3Options) {
    const { bucket, prefix, endpoint } = options;
    this.#bucket = bucket;
    this.#prefix = prefix ? `${prefix}/` : '';
    this.#transferAttempts = options.attempts ?? TRANSFER_ATTEMPTS;
    this.url = `s3://${bucket}${prefix ? `/${prefix}` : ''}`;
    const agent = { keepAlive: true, maxSockets: 64 };
    this.#client = new S3Client({
      region: options.region,
      endpoint: endpoint || undefined,
      forcePathStyle: options.pathStyle ?? false,
      maxAttempts: options.attempts ?? REQUEST_ATTEMPTS,
      retryMode: 'standard',
      // Empty credentials stop the SDK from searching the machine for credentials, which takes seconds and may find the wrong ones.
      credentials: options.credentials ?? { accessKeyId: '', secretAccessKey: '' },
      ...(options.credentials ? {} : { signer: { sign: async request => request } }),
      // The etag protects a transfer. A checksum of the whole object cannot verify a part of it.
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: CONNECT_MS,
        requestTimeout: SILENCE_MS,
        throwOnRequestTimeout: true,
        httpAgent: new HttpAgent(agent),
        httpsAgent: new HttpsAgent(agent),
      },
    });
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ArchiveObject> {
    let before = '';
    for await (const page of this.#pages(prefix, options)) {
      for (const { Key, Size = 0, ETag = '' } of page.Contents ?? []) {
        this.#expectOrder(Key, before);
        before = Key;
        yield { key: Key.slice(this.#prefix.length), size: Size, etag: ETag };
      }
    }
  }

  async *folders(prefix: string, { signal }: { readonly signal?: AbortSignal } = {}): AsyncGenerator<string> {
    let before = '';
    for await (const page of this.#pages(prefix, { signal }, '/')) {
      for (const { Prefix } of page.CommonPrefixes ?? []) {
        this.#expectOrder(Prefix, before);
        before = Prefix;
        yield Prefix.slice(this.#prefix.length);
      }
    }
  }

  async *open(object: ArchiveObject, options: OpenOptions = {}): AsyncGenerator<Buffer> {
    const { signal } = options;
    let offset = 0;
    for (let failures = 0; ; ) {
      const body = await this.#get(object, offset, signal);
      let broken: unknown;
      try {
        for await (const chunk of chunksOf(body, signal)) {
          offset += chunk.length;
          failures = 0;
          if (offset > object.size) throw changed(object);
          yield chunk;
        }
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof ArchiveError) throw error;
        broken = error;
      } finally {
        body.destroy();
      }
      if (offset >= object.size) return;
      // The connection broke or closed early: continue from here with the same version of the object.
      if (++failures >= this.#transferAttempts) {
        const reason = broken instanceof Error ? broken.message : 'the connection was closed';
        throw new ArchiveUnavailableError(
          `${object.key} in ${this.url} broke off at byte ${offset} of ${object.size}, ${failures} times: ${reason}`,
          { cause: broken },
        );
      }
      await sleep(backOff(failures, WAITS), undefined, { signal }).catch(() => signal?.throwIfAborted());
    }
  }

  async check({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    for (const folder of MEASUREMENT_FOLDERS) {
      for await (const _ of this.list(folder, { signal })) return;
    }
    throw noFolders(this.url);
  }

  /** Ends the connection pool. */
  close(): void {
    this.#client.destroy();
  }

  /** Requests the object from `offset`, on the condition that it is still the listed version. */
  async #get(object: ArchiveObject, offset: number, signal?: AbortSignal): Promise<Readable> {
    const input = {
      Bucket: this.#bucket,
      Key: this.#prefix + object.key,
      IfMatch: object.etag || undefined,
      Range: offset > 0 ? `bytes=${offset}-` : undefined,
    };
    const answer = await this.#send({ key: object.key }, signal, () =>
      this.#client.send(new GetObjectCommand(input), { abortSignal: signal }),
    );
    const body = answer.Body as Readable;
    // This detects a server that does not support If-Match or Range. A server behind a proxy may not send the length.
    const isSame = !object.etag || answer.ETag === object.etag;
    const isHere = offset === 0 || answer.ContentRange?.startsWith(`bytes ${offset}-`) === true;
    const isWhole = answer.ContentLength === undefined || offset + answer.ContentLength === object.size;
    if (!(isSame && isHere && isWhole)) {
      body.destroy();
      throw changed(object);
    }
    return body;
  }

  async *#pages(prefix: string, options: ListOptions, delimiter?: string): AsyncGenerator<ListObjectsV2CommandOutput> {
    const { startAfter, signal } = options;
    let token: string | undefined;
    do {
      const input = {
        Bucket: this.#bucket,
        Prefix: this.#prefix + prefix,
        StartAfter: startAfter === undefined ? undefined : this.#prefix + startAfter,
        Delimiter: delimiter,
        ContinuationToken: token,
      };
      const page = await this.#send({ prefix }, signal, () =>
        this.#client.send(new ListObjectsV2Command(input), { abortSignal: signal }),
      );
      // A proxy that answers 200 with its own page would make the archive look empty.
      if (page.Name === undefined && page.IsTruncated === undefined)
        throw this.#strange('answered with something else');
      yield page;
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
      if (page.IsTruncated && !token)
        throw this.#strange(`reports that a listing of ${prefix} continues, but not from where`);
    } while (token);
  }

  /**
   * Throws unless a key sorts after the previous one. A batch is a range of keys, so a server that lists in another order (as
   * Amazon's directory buckets do), or repeats a page, would give wrong batches.
   */
  #expectOrder(key: string | undefined, before: string): asserts key is string {
    if (key === undefined) throw this.#strange('lists an object without a key');
    if (compareKeys(key, before) <= 0) throw this.#strange(`lists ${key} after ${before}`);
  }

  #strange(what: string): ArchiveUnavailableError {
    return new ArchiveUnavailableError(`${this.url} ${what}: this is not a listing of S3; check archive_endpoint`);
  }

  async #send<Answer>(
    target: RequestTarget,
    signal: AbortSignal | undefined,
    request: () => Promise<Answer>,
  ): Promise<Answer> {
    signal?.throwIfAborted();
    try {
      return await request();
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof ArchiveError ? error : toArchiveError(error, this.url, target);
    }
  }
}

function changed(object: ArchiveObject): ObjectChangedError {
  return new ObjectChangedError(`${object.key} changed since it was listed; list the bucket again`);
}

/** Yields the chunks of a body. Throws when no chunk arrives for SILENCE_MS, and the signal's reason when it is aborted. */
async function* chunksOf(body: Readable, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const abort = () => body.destroy(signal?.reason as Error);
  signal?.addEventListener('abort', abort, { once: true });
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    for (;;) {
      // The timer runs only while a chunk is awaited: the reader may pause between chunks.
      const silence = setTimeout(() => body.destroy(new Error(`no byte came for ${SILENCE_MS / 1000} s`)), SILENCE_MS);
      const next = await chunks.next().finally(() => clearTimeout(silence));
      if (next.done) return;
      yield next.value;
    }
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}
