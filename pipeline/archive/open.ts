import type { Settings } from '../settings.ts';
import { SettingsError } from '../settings.ts';
import type { Archive, ArchiveObject, ListOptions, OpenOptions } from './archive.ts';
import { DirectoryArchive } from './directory.ts';
import { S3Archive } from './s3.ts';

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

/** The day from which the current bucket holds the cans; those before lie in the legacy one (archive.md section 1). */
const CURRENT_CANS_FROM = '2020-06-02';

/**
 * The archive that the settings name: a directory or `s3://bucket[/prefix]`, joined with the legacy one where that is set. Nothing is
 * asked of it yet. Throws SettingsError for a URL that is neither.
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
  if (!parts) throw new SettingsError(`${key} = ${JSON.stringify(url)}: must be a directory or s3://bucket[/prefix]`);
  const { archive_access_key_id: accessKeyId, archive_secret_access_key: secretAccessKey } = settings;
  return new S3Archive({
    bucket: parts[1]!,
    prefix: parts[2],
    region: settings.archive_region,
    endpoint: settings.archive_endpoint,
    pathStyle: settings.archive_path_style,
    credentials: accessKeyId ? { accessKeyId, secretAccessKey } : undefined,
  });
}

/** OONI's archive lies in two buckets: the day of a can says which. Both may hold a day; then the current one counts. */
class JoinedArchive implements Archive {
  readonly url: string;
  readonly #current: Archive;
  readonly #legacy: Archive;

  constructor(current: Archive, legacy: Archive) {
    this.#current = current;
    this.#legacy = legacy;
    this.url = `${current.url} and ${legacy.url}`;
  }

  list(prefix: string, options?: ListOptions): AsyncIterable<ArchiveObject> {
    return this.#holder(prefix).list(prefix, options);
  }

  folders(prefix: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<string> {
    return this.#holder(prefix).folders(prefix, options);
  }

  open(object: ArchiveObject, options?: OpenOptions): AsyncIterable<Buffer> {
    return this.#holder(object.key).open(object, options);
  }

  #holder(key: string): Archive {
    const day = /^canned\/(\d{4}-\d{2}-\d{2})\//.exec(key)?.[1];
    return day !== undefined && day < CURRENT_CANS_FROM ? this.#legacy : this.#current;
  }
}
