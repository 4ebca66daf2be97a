import { AS_LIMITS, readAsOrganisations } from './as-organisations.ts';
import { hashOf, type Limits, type Parsed } from './dataset.ts';
import { FINGERPRINT_LIMITS, readFingerprints } from './fingerprints.ts';
import { NO_SOURCE } from './no-source.ts';
import { hashOfFiles, readFiles, readSource } from './source.ts';
import { readTestLists, TEST_LIST_LIMITS } from './test-lists.ts';

/** Settings that name a source. */
export type SourceSetting =
  | 'fingerprints_dns_source'
  | 'fingerprints_http_source'
  | 'test_lists_source'
  | 'as_organisations_source';

/** Names of the data sets, which are also the names of their tables. */
export const DATASET_NAMES = ['fingerprints_dns', 'fingerprints_http', 'citizenlab', 'asnmeta'] as const;
export type DatasetName = (typeof DATASET_NAMES)[number];

export interface Fetched extends Parsed<object> {
  /** SHA-256 of the source in hexadecimal. */
  readonly sha256: string;
  /** Hash in hexadecimal that names the version. It differs from `sha256` if the program reads the source in another way than before. */
  readonly digest: string;
}

/**
 * Number of the way in which a list of fingerprints is read. A greater number makes a new version of the same source, so that it is loaded
 * again. Since 2, a CRLF in a pattern stays a CRLF: six patterns of OONI's list of HTTP fingerprints contain one.
 */
const READING_HTTP = 2;

export interface Dataset {
  /** Setting that names the source. */
  readonly setting: SourceSetting;
  /** Cron schedule (UTC) of the refresh: about as often as the Python updaters check, with some minutes between the data sets. */
  readonly refresh: string;
  readonly limits: Limits;
  fetch(source: string, signal?: AbortSignal): Promise<Fetched>;
}

/** The reference data that are loaded into tables, and how each is read (analysis.md section 12). */
export const DATASETS: Readonly<Record<DatasetName, Dataset>> = {
  fingerprints_dns: {
    setting: 'fingerprints_dns_source',
    refresh: '7 * * * *',
    limits: FINGERPRINT_LIMITS,
    fetch: async (source, signal) =>
      fromBytes(await readSource(source, signal), bytes => readFingerprints(bytes, 'dns')),
  },
  fingerprints_http: {
    setting: 'fingerprints_http_source',
    refresh: '11 * * * *',
    limits: FINGERPRINT_LIMITS,
    fetch: async (source, signal) =>
      fromBytes(await readSource(source, signal), bytes => readFingerprints(bytes, 'http'), READING_HTTP),
  },
  citizenlab: {
    setting: 'test_lists_source',
    refresh: '17,47 * * * *',
    limits: TEST_LIST_LIMITS,
    async fetch(source, signal) {
      const files = await readFiles(source, '.csv', signal);
      const sha256 = hashOfFiles(files);
      return { ...readTestLists(files), sha256, digest: sha256 };
    },
  },
  asnmeta: {
    setting: 'as_organisations_source',
    refresh: '23 4 * * 1',
    limits: AS_LIMITS,
    fetch: async (source, signal) => fromBytes(await readSource(source, signal), readAsOrganisations),
  },
};

/** Returns the source of a data set from the settings, or undefined for NO_SOURCE. */
export function sourceOf(settings: Readonly<Record<SourceSetting, string>>, name: DatasetName): string | undefined {
  const source = settings[DATASETS[name].setting];
  return source === '' || source === NO_SOURCE ? undefined : source;
}

function fromBytes(bytes: Buffer, read: (bytes: Buffer) => Parsed<object>, reading = 1): Fetched {
  const sha256 = hashOf(bytes);
  return { ...read(bytes), sha256, digest: reading === 1 ? sha256 : hashOf(Buffer.from(`${sha256} read ${reading}`)) };
}
