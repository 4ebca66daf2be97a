import { AS_LIMITS, readAsOrganisations } from './as-organisations.ts';
import { hashOf, type Limits, type Parsed } from './dataset.ts';
import { FINGERPRINT_LIMITS, readFingerprints } from './fingerprints.ts';
import { hashOfFiles, readFiles, readSource } from './source.ts';
import { readTestLists, TEST_LIST_LIMITS } from './test-lists.ts';

export const DATASETS = ['fingerprints_dns', 'fingerprints_http', 'citizenlab', 'asnmeta'] as const;
/** Named as the table it fills. */
export type DatasetName = (typeof DATASETS)[number];

export interface Fetched extends Parsed<object> {
  readonly sha256: string;
}

export interface Dataset {
  /** The setting that says where it comes from. */
  readonly setting: `${string}_source`;
  readonly limits: Limits;
  fetch(source: string, signal?: AbortSignal): Promise<Fetched>;
}

/** The reference data that is loaded into tables, and how each is read (analysis.md section 14). */
export const DATASET: Readonly<Record<DatasetName, Dataset>> = {
  fingerprints_dns: {
    setting: 'fingerprints_dns_source',
    limits: FINGERPRINT_LIMITS,
    fetch: async (source, signal) =>
      fromBytes(await readSource(source, signal), bytes => readFingerprints(bytes, 'dns')),
  },
  fingerprints_http: {
    setting: 'fingerprints_http_source',
    limits: FINGERPRINT_LIMITS,
    fetch: async (source, signal) =>
      fromBytes(await readSource(source, signal), bytes => readFingerprints(bytes, 'http')),
  },
  citizenlab: {
    setting: 'test_lists_source',
    limits: TEST_LIST_LIMITS,
    async fetch(source, signal) {
      const files = await readFiles(source, '.csv', signal);
      return { ...readTestLists(files), sha256: hashOfFiles(files) };
    },
  },
  asnmeta: {
    setting: 'as_organisations_source',
    limits: AS_LIMITS,
    fetch: async (source, signal) => fromBytes(await readSource(source, signal), readAsOrganisations),
  },
};

function fromBytes(bytes: Buffer, read: (bytes: Buffer) => Parsed<object>): Fetched {
  return { ...read(bytes), sha256: hashOf(bytes) };
}
