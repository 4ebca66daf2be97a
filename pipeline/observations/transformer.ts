import type { RawDocument } from '../archive/document.ts';
import { admits, type Filter } from '../filter.ts';
import { contentDigest } from '../measurement/content-digest.ts';
import { MeasurementError, type Stage } from '../measurement/errors.ts';
import { parseJson } from '../measurement/json.ts';
import { decodeMeasurement, isSupported, type Measurement, type TestName } from '../measurement/model.ts';
import { ExactNeeded } from '../measurement/python.ts';
import { isObject, truth } from '../measurement/structure.ts';
import { idOf, isUid, trivialId } from '../measurement/uid.ts';
import { IpDatabaseError } from '../reference/ip-files.ts';
import type { IpMetadata } from '../reference/ip-metadata.ts';
import type { RowEncoder } from '../tables/encoder.ts';
import { EncodeError } from '../tables/rowbinary.ts';
import type { UidClaim } from '../tables/uids.ts';
import { CertificateCache } from './certificate-cache.ts';
import { MeasurementRows, type RunFacts } from './measurement-rows.ts';
import { measurementColumns, probeColumns, startOf } from './metadata.ts';
import { NETTESTS, type NettestContext } from './nettests.ts';
import { excerpt } from './text.ts';

/**
 * Result of a document. `transformed`: its rows are in the encoder (possibly none). `skipped`: the pipeline skips it by rule.
 * `unsupported`: a valid measurement of a test without a transformer. `failed`: it has no rows; `error` has the reason.
 */
export interface Outcome {
  readonly status: 'transformed' | 'skipped' | 'failed' | 'unsupported';
  readonly uid?: string;
  readonly testName?: string;
  /** Country in the document. It may differ from the country in the key. */
  readonly probeCC?: string;
  /** Present if the uid comes from the document and its rows are in the encoder. */
  readonly claim?: UidClaim;
  /** Reason why a document was skipped or is not supported, if there is no `error`. */
  readonly reason?: string;
  readonly error?: { readonly stage: Stage; readonly class: string; readonly message: string };
}

export interface TransformerOptions extends RunFacts {
  readonly filter: Filter;
  readonly ipMetadata: IpMetadata;
  readonly encoder: RowEncoder;
}

const MESSAGE_LENGTH = 160;
/** Uids of the collector have about 60 characters, trivial ids 40. Failures and strays are stored by uid, so its length must have a limit. */
const UID_LENGTH = 200;
/** Converts documents to rows. Create one for each thread and batch: it has caches, but keeps nothing of a finished measurement. */
export class Transformer {
  readonly #options: TransformerOptions;
  readonly #rows: MeasurementRows;
  readonly #certificates = new CertificateCache();

  constructor(options: TransformerOptions) {
    this.#options = options;
    this.#rows = new MeasurementRows(options.encoder, options);
  }

  /**
   * Appends all rows of a document to the encoder, or none. Never throws because of a document's content; the outcome has the
   * error. Throws IpDatabaseError if the reference data cannot be read.
   *
   * @param key archive object of the document
   */
  transform(document: RawDocument, key: string): Outcome {
    if (document.error) {
      const { skipped, class: kind, message } = document.error;
      const error = { stage: 'read' as const, class: kind, message: excerpt(message, MESSAGE_LENGTH) };
      const uid = document.uid && excerpt(document.uid, UID_LENGTH);
      return { status: skipped ? 'skipped' : 'failed', uid, error };
    }
    const seen: Seen = { stage: 'decode', uid: document.uid && excerpt(document.uid, UID_LENGTH) };
    try {
      try {
        return this.#attempt(document, key, seen, false);
      } catch (error) {
        if (!(error instanceof ExactNeeded || (seen.partial && error instanceof MeasurementError))) throw error;
        seen.stage = 'decode';
        return this.#attempt(document, key, seen, true);
      }
    } catch (error) {
      if (error instanceof IpDatabaseError) throw error;
      return { status: 'failed', uid: seen.uid, testName: seen.testName, error: describe(error, seen.stage) };
    }
  }

  #attempt(document: RawDocument, key: string, seen: Seen, exact: boolean): Outcome {
    const { value, partial } = parseJson(document.bytes, exact, this.#rows.search);
    seen.partial = partial;
    if (!isObject(value)) throw new MeasurementError('decode', 'InvalidJSON', 'the document is not a JSON object');
    const own = document.uid ? undefined : ownUid(value, this.#options.bucket);
    seen.uid ||= own || trivialId(document.bytes, value.measurement_start_time, !document.unterminated);
    const testName = value.test_name;
    if (isSupported(testName)) seen.testName = testName;
    else if (typeof testName === 'string') seen.testName = excerpt(testName, UID_LENGTH);
    if (document.uid && document.uid.length > UID_LENGTH) {
      const message = `measurement_uid has ${document.uid.length} characters, more than ${UID_LENGTH}`;
      throw new MeasurementError('decode', 'InvalidField', message);
    }
    const { filter } = this.#options;
    const probeCC = typeof value.probe_cc === 'string' ? value.probe_cc : undefined;
    const outcome = { uid: seen.uid, testName: seen.testName, probeCC };
    if (value.probe_cc !== undefined && !admits(filter.probeCC, String(value.probe_cc)))
      return { status: 'skipped', ...outcome, reason: 'the probe is not in a country of the filter' };
    if (!truth(value.test_keys)) return { status: 'skipped', ...outcome, reason: 'test_keys is missing or empty' };
    // The claim is made before decoding, which changes the value in place, and never from the exact value, in which bodies are
    // complete.
    if (own !== undefined && !seen.claim && isSupported(value.test_name)) seen.claim = claimOf(value, document.bytes);
    const measurement = decodeMeasurement(value);
    if (!isSupported(measurement.test_name)) {
      return { status: 'unsupported', ...outcome, reason: 'the test has no transformer' };
    }
    seen.stage = 'transform';
    this.#write(measurement, measurement.test_name, {
      uid: seen.uid,
      key,
      line: document.line,
      testName: measurement.test_name,
      ...(seen.claim && { claim: seen.claim }),
    });
    return { status: 'transformed', ...outcome, ...(seen.claim && { claim: seen.claim }) };
  }

  #write(measurement: Measurement & { test_keys: unknown }, testName: TestName, origin: Origin): void {
    const { encoder, ipMetadata, bucket } = this.#options;
    const start = startOf(measurement);
    const ips = ipMetadata.at(start);
    const keys = measurement.test_keys as { client_resolver?: string | null };
    const resolver = testName === 'facebook_messenger' || testName === 'tor' ? undefined : keys.client_resolver;
    encoder.begin(origin);
    try {
      const columns = measurementColumns(measurement, origin.uid, bucket, start);
      this.#rows.begin(columns, probeColumns(measurement, resolver, start, ips), ips);
      const transform = NETTESTS[testName] as (keys: unknown, context: NettestContext) => void;
      transform(keys, { measurement, start, rows: this.#rows, certificates: this.#certificates });
      encoder.commit();
    } catch (error) {
      encoder.rollback();
      throw error;
    }
  }
}

interface Origin {
  readonly uid: string;
  readonly key: string;
  readonly line: number;
  readonly testName: string;
  readonly claim?: UidClaim;
}

/** Progress of a document, for the record of a failure. */
interface Seen {
  stage: Stage;
  uid: string | undefined;
  testName?: string;
  claim?: UidClaim;
  /** True if it was parsed without the unread members. */
  partial?: boolean;
}

/** Returns the uid of a document if it has the form of a uid (archive.md section 8). */
function ownUid(value: Record<string, unknown>, bucket: string): string | undefined {
  const uid = value.measurement_uid;
  return isUid(uid, value.measurement_start_time, bucket) ? uid : undefined;
}

/** Makes the claim that distinguishes a measurement from another one with the same uid. */
function claimOf(value: Record<string, unknown>, bytes: Buffer): UidClaim {
  const digest = contentDigest(value, bytes);
  return { digest, substitute: idOf(value.measurement_start_time, digest) };
}

function describe(error: unknown, stage: Stage): Outcome['error'] {
  const message = excerpt(error instanceof Error ? error.message : String(error), MESSAGE_LENGTH);
  if (error instanceof MeasurementError) return { stage: error.stage, class: error.kind, message };
  if (error instanceof EncodeError) return { stage: 'encode', class: error.name, message };
  if (error instanceof RangeError && message.includes('call stack')) {
    return { stage, class: 'TooDeep', message: 'a value is nested too deeply' };
  }
  // Any other error is a defect. Only this measurement fails.
  return { stage, class: error instanceof Error ? error.name : 'Error', message };
}
