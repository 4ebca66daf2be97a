import { hidePassword } from '../hide-password.ts';
import type { Settings } from '../settings.ts';
import { SettingsError } from '../settings.ts';
import type { Archive, ArchiveObject, ListOptions, OpenOptions } from './archive.ts';
import { DirectoryArchive } from './directory.ts';
import type { S3Options } from './s3.ts';

type ArchiveSettings = Pick<
  Settings,
  | 'archive_url'
  | 'archive_legacy_url'
  | 'archive_region'
  | 'archive_endpoint'
  | 'archive_path_style'
  | 'archive_access_key_id'
  | 'archive_secret_access_key'
>;

/** First day with cans in the current bucket. Earlier cans are in the legacy bucket (archive.md section 1). */
const CURRENT_CANS_FROM = '2020-06-02';

/**
 * Opens the archive of the settings: a directory or `s3://bucket[/prefix]`, joined with the legacy archive if one is set. Sends no
 * request. Throws SettingsError if a URL is neither.
 */
export function openArchive(settings: ArchiveSettings): Archive {
  const current = openOne(settings.archive_url, 'archive_url', settings);
  if (settings.archive_legacy_url === '') return current;
  return new JoinedArchive(current, openOne(settings.archive_legacy_url, 'archive_legacy_url', settings));
}

function openOne(url: string, key: string, settings: ArchiveSettings): Archive {
  if (url === '') throw new SettingsError(`${key} is empty; set it to a directory or s3://bucket[/prefix]`);
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) return new DirectoryArchive(url);
  const parts = /^s3:\/\/([a-z0-9][a-z0-9.-]+)(?:\/(.*?))?\/*$/.exec(url);
  if (!parts)
    throw new SettingsError(
      `${key} = ${JSON.stringify(hidePassword(url))}: must be a directory or s3://bucket[/prefix]`,
    );
  const { archive_access_key_id: accessKeyId, archive_secret_access_key: secretAccessKey } = settings;
  const [, bucket, prefix] = parts as unknown as [string, string, string | undefined];
  return new LaterS3Archive({
    bucket,
    ...(prefix && { prefix }),
    region: settings.archive_region,
    endpoint: settings.archive_endpoint,
    pathStyle: settings.archive_path_style,
    ...(accessKeyId && { credentials: { accessKeyId, secretAccessKey } }),
  });
}

/** An archive on S3 that loads its client on first use. Loading the SDK takes a third of a second, and a directory does not need it. */
class LaterS3Archive implements Archive {
  readonly url: string;
  readonly #options: S3Options;
  #archive: Promise<Archive> | undefined;

  constructor(options: S3Options) {
    this.#options = options;
    this.url = `s3://${options.bucket}${options.prefix ? `/${options.prefix}` : ''}`;
  }

  async *list(prefix: string, options?: ListOptions): AsyncGenerator<ArchiveObject> {
    yield* (await this.#loaded()).list(prefix, options);
  }

  async *folders(prefix: string, options?: { readonly signal?: AbortSignal }): AsyncGenerator<string> {
    yield* (await this.#loaded()).folders(prefix, options);
  }

  async *open(object: ArchiveObject, options?: OpenOptions): AsyncGenerator<Buffer> {
    yield* (await this.#loaded()).open(object, options);
  }

  async check(options?: { readonly signal?: AbortSignal }): Promise<void> {
    await (await this.#loaded()).check(options);
  }

  #loaded(): Promise<Archive> {
    this.#archive ??= import('./s3.ts').then(({ S3Archive }) => new S3Archive(this.#options));
    return this.#archive;
  }
}

/** An archive in two buckets, like OONI's. The day of a can selects the bucket, also when both buckets have that day. */
class JoinedArchive implements Archive {
  readonly url: string;
  readonly #current: Archive;
  readonly #legacy: Archive;

  constructor(current: Archive, legacy: Archive) {
    this.#current = current;
    this.#legacy = legacy;
    this.url = `${current.url} and ${legacy.url}`;
  }

  async *list(prefix: string, options?: ListOptions): AsyncGenerator<ArchiveObject> {
    if (prefix !== 'canned/') return yield* this.#holder(prefix).list(prefix, options);
    for (const archive of [this.#legacy, this.#current]) {
      for await (const object of archive.list(prefix, options)) if (this.#holder(object.key) === archive) yield object;
    }
  }

  async *folders(prefix: string, options?: { readonly signal?: AbortSignal }): AsyncGenerator<string> {
    if (prefix !== 'canned/') return yield* this.#holder(prefix).folders(prefix, options);
    for (const archive of [this.#legacy, this.#current]) {
      for await (const folder of archive.folders(prefix, options)) if (this.#holder(folder) === archive) yield folder;
    }
  }

  open(object: ArchiveObject, options?: OpenOptions): AsyncIterable<Buffer> {
    return this.#holder(object.key).open(object, options);
  }

  async check(options?: { readonly signal?: AbortSignal }): Promise<void> {
    await Promise.all([this.#current.check(options), this.#legacy.check(options)]);
  }

  #holder(key: string): Archive {
    const day = /^canned\/(\d{4}-\d{2}-\d{2})\//.exec(key)?.[1];
    return day !== undefined && day < CURRENT_CANS_FROM ? this.#legacy : this.#current;
  }
}
