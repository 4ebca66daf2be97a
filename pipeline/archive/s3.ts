import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, ListObjectsV2Command, type ListObjectsV2CommandOutput, S3Client } from '@aws-sdk/client-s3';
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
import { type Asked, toArchiveError } from './s3-errors.ts';

/** A request is tried this often, with the SDK's back-off: half a second doubling to 20 s where the server says slow down. */
const REQUEST_ATTEMPTS = 8;
/** A transfer may break this often in a row without a single byte in between. */
const TRANSFER_ATTEMPTS = 8;
const CONNECT_MS = 10_000;
/** How long the server may take to begin an answer, and how long it may fall silent within one. */
const SILENCE_MS = 60_000;

export interface S3Options {
  readonly bucket: string;
  /** Put before every key, without a slash at the end; empty: none. */
  readonly prefix?: string;
  readonly region: string;
  /** URL of a server other than Amazon's. */
  readonly endpoint?: string;
  readonly pathStyle?: boolean;
  /** Without them requests go unsigned, as OONI's buckets allow. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** How often a request and a transfer are tried; the tests make it short. */
  readonly attempts?: number;
}

/** An archive in an S3 bucket. One connection pool serves all of its listings and transfers; `close` ends it. */
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
      // Empty credentials keep the SDK from looking for some on the machine, which takes seconds and may find the wrong ones.
      credentials: options.credentials ?? { accessKeyId: '', secretAccessKey: '' },
      ...(options.credentials ? {} : { signer: { sign: async request => request } }),
      // The etag guards a transfer; a checksum over the whole object cannot be verified of a part.
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
        for await (const chunk of heard(body, signal)) {
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
      // The connection broke, or was closed too early without a word: go on from here with the same version of the object.
      if (++failures >= this.#transferAttempts) {
        const reason = broken instanceof Error ? broken.message : 'the connection was closed';
        throw new ArchiveUnavailableError(
          `${object.key} in ${this.url} broke off at byte ${offset} of ${object.size}, ${failures} times: ${reason}`,
          { cause: broken },
        );
      }
      const pause = Math.random() * Math.min(20_000, 100 * 2 ** failures);
      await sleep(pause, undefined, { signal }).catch(() => signal?.throwIfAborted());
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

  /** The object from `offset` on, provided that it is still the version that was listed. */
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
    // A server that knows no If-Match, or no Range, shows itself here. One behind a proxy may not tell the length.
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
      // Something between that answers 200 with a page of its own would make the archive look empty.
      if (page.Name === undefined && page.IsTruncated === undefined)
        throw this.#strange('answered with something else');
      yield page;
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
      if (page.IsTruncated && !token) throw this.#strange(`says that a listing of ${prefix} goes on, and not how`);
    } while (token);
  }

  /**
   * Throws unless a key follows the one before. A batch is a range of keys, so a server that lists in another order (as Amazon's
   * directory buckets do), or one page again and again, must not be read as if it did not.
   */
  #expectOrder(key: string | undefined, before: string): asserts key is string {
    if (key === undefined) throw this.#strange('lists an object without a key');
    if (compareKeys(key, before) <= 0) throw this.#strange(`lists ${key} behind ${before}`);
  }

  #strange(what: string): ArchiveUnavailableError {
    return new ArchiveUnavailableError(
      `${this.url} ${what}: that is no listing as S3 makes it; check archive_endpoint`,
    );
  }

  async #send<Answer>(asked: Asked, signal: AbortSignal | undefined, request: () => Promise<Answer>): Promise<Answer> {
    signal?.throwIfAborted();
    try {
      return await request();
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof ArchiveError ? error : toArchiveError(error, this.url, asked);
    }
  }
}

function changed(object: ArchiveObject): ObjectChangedError {
  return new ObjectChangedError(`${object.key} changed since it was listed; list the bucket again`);
}

/** The chunks of a body; throws when none comes for too long, and the signal's reason when it is aborted. */
async function* heard(body: Readable, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const abort = () => body.destroy(signal?.reason as Error);
  signal?.addEventListener('abort', abort, { once: true });
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    for (;;) {
      // Only while a chunk is waited for: a reader may take its time between two.
      const silence = setTimeout(() => body.destroy(new Error(`no byte came for ${SILENCE_MS / 1000} s`)), SILENCE_MS);
      const next = await chunks.next().finally(() => clearTimeout(silence));
      if (next.done) return;
      yield next.value;
    }
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}
