import { AS_LIMITS, readAsOrganisations } from './as-organisations.ts';
import { hashOf, type Limits, type Parsed } from './dataset.ts';
import { FINGERPRINT_LIMITS, readFingerprints } from './fingerprints.ts';
import { hashOfFiles, readFiles, readSource } from './source.ts';
import { readTestLists, TEST_LIST_LIMITS } from './test-lists.ts';

/** Settings that name a source. */
export type SourceSetting =
  | 'fingerprints_dns_source'
  | 'fingerprints_http_source'
  | 'test_lists_source'
  | 'as_organisations_source';

export const DATASETS = ['fingerprints_dns', 'fingerprints_http', 'citizenlab', 'asnmeta'] as const;
/** Named as the table it fills. */
export type DatasetName = (typeof DATASETS)[number];

export interface Fetched extends Parsed<object> {
  readonly sha256: string;
}

export interface Dataset {
  /** The setting that says where it comes from. */
  readonly setting: SourceSetting;
  /** When it is loaded anew, as cron (UTC): about as often as the Python updaters look, minutes apart from one another. */
  readonly refresh: string;
  readonly limits: Limits;
  fetch(source: string, signal?: AbortSignal): Promise<Fetched>;
}

/** The reference data that is loaded into tables, and how each is read (analysis.md section 14). */
export const DATASET: Readonly<Record<DatasetName, Dataset>> = {
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
      fromBytes(await readSource(source, signal), bytes => readFingerprints(bytes, 'http')),
  },
  citizenlab: {
    setting: 'test_lists_source',
    refresh: '17,47 * * * *',
    limits: TEST_LIST_LIMITS,
    async fetch(source, signal) {
      const files = await readFiles(source, '.csv', signal);
      return { ...readTestLists(files), sha256: hashOfFiles(files) };
    },
  },
  asnmeta: {
    setting: 'as_organisations_source',
    refresh: '23 4 * * 1',
    limits: AS_LIMITS,
    fetch: async (source, signal) => fromBytes(await readSource(source, signal), readAsOrganisations),
  },
};

/** What a setting names as source for an installation that does without the data set. */
export const NO_SOURCE = 'none';

/** The source that the settings name for a data set; undefined when it is NO_SOURCE. */
export function sourceOf(settings: Readonly<Record<SourceSetting, string>>, name: DatasetName): string | undefined {
  const source = settings[DATASET[name].setting];
  return source === '' || source === NO_SOURCE ? undefined : source;
}

function fromBytes(bytes: Buffer, read: (bytes: Buffer) => Parsed<object>): Fetched {
  return { ...read(bytes), sha256: hashOf(bytes) };
}
