import type { NetworkEvent } from '../measurement/model.ts';
import { addressForm } from '../reference/ip-literal.ts';
import { joinEndpoint } from './addresses.ts';

/* Parts of a transaction that web_connectivity records since 0.5: the reason why it was made, and the arrival of its bytes (observations.md section 6.6). */

/** Facts from the tags of a step. Field names are column names without `transaction_`. */
export interface StepTags {
  /** Number of redirects that the probe followed before; null: unknown. */
  readonly depth: number | null;
  /** Whether the probe fetches the page over this connection; null: unknown. */
  readonly fetch_body: boolean | null;
}

const NO_TAGS: StepTags = { depth: null, fetch_body: null };
/** At most nine digits, so that every number fits Int32. */
const DEPTH = /^depth=(\d{1,9})$/;

/** The tags of the first redirects, which nearly all steps have. */
const KNOWN_DEPTHS = new Map(Array.from({ length: 10 }, (_, depth) => [`depth=${depth}`, depth]));

function readDepth(tag: string): number | undefined {
  const known = KNOWN_DEPTHS.get(tag);
  if (known !== undefined) return known;
  const digits = DEPTH.exec(tag)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Reads the tags `depth=N` and `fetch_body=true` or `false`. Ignores all others. */
export function readTags(tags: readonly unknown[] | null | undefined): StepTags {
  if (!tags || tags.length === 0) return NO_TAGS;
  let depth: number | null = null;
  let fetch_body: boolean | null = null;
  for (const tag of tags) {
    if (typeof tag !== 'string') continue;
    if (tag.startsWith('depth=')) depth = readDepth(tag) ?? depth;
    else if (tag === 'fetch_body=true') fetch_body = true;
    else if (tag === 'fetch_body=false') fetch_body = false;
  }
  return { depth, fetch_body };
}

/** Bytes that a connection had received at some times, in ascending order of time. Field names are column names without `transfer_`. */
export interface Transfer {
  /** Seconds since the start of the measurement. */
  readonly t: readonly number[];
  /** Total since the connection began. */
  readonly bytes: readonly number[];
}

export const NO_TRANSFER: Transfer = { t: [], bytes: [] };

/** Operation of the events that count bytes. The probe writes one about every 250 ms. */
const COUNT = 'bytes_received_cumulative';

interface Sample {
  readonly t: number;
  readonly bytes: number;
}

/** The transfers of a measurement. Each is in one row, because rows with the same long lists would multiply a hostile document. */
export class Transfers {
  /** Samples by transaction id and then by endpoint, because most rows belong to a transaction without samples. */
  readonly #samples = new Map<number, Map<string, Sample[]>>();

  /** Collects the counts of bytes. Omits those without transaction id, address or a usable number. */
  constructor(events: readonly NetworkEvent[] | null | undefined) {
    for (const { operation, transaction_id, address, num_bytes, t } of events ?? []) {
      if (operation !== COUNT || transaction_id == null || !address || !isCount(num_bytes) || !Number.isFinite(t))
        continue;
      const endpoint = endpointForm(address);
      let ofTransaction = this.#samples.get(transaction_id);
      if (!ofTransaction) {
        ofTransaction = new Map();
        this.#samples.set(transaction_id, ofTransaction);
      }
      const samples = ofTransaction.get(endpoint);
      if (samples) samples.push({ t, bytes: num_bytes });
      else ofTransaction.set(endpoint, [{ t, bytes: num_bytes }]);
    }
  }

  /** Returns the transfer of a connection, and an empty one if there is none or another row has it. */
  take(transactionID: number | null, ip: string | null, port: number | null): Transfer {
    const ofTransaction = transactionID === null ? undefined : this.#samples.get(transactionID);
    if (!ofTransaction || ip === null || port === null) return NO_TRANSFER;
    const endpoint = endpointForm(joinEndpoint(ip, port));
    const samples = ofTransaction.get(endpoint);
    if (!samples) return NO_TRANSFER;
    ofTransaction.delete(endpoint);
    if (samples.some((sample, i) => i > 0 && sample.t < samples[i - 1]!.t)) samples.sort((a, b) => a.t - b.t);
    // Of samples with the same count the first and the last say when the bytes arrived and how long nothing followed.
    const kept = samples.filter(({ bytes }, i) => bytes !== samples[i - 1]?.bytes || bytes !== samples[i + 1]?.bytes);
    return { t: kept.map(({ t }) => t), bytes: kept.map(({ bytes }) => bytes) };
  }
}

function isCount(value: number | null | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Converts an endpoint, as probes write it (`1.2.3.4:443` or `[2001:db8::1]:443`), to the form in which endpoints are compared. */
function endpointForm(endpoint: string): string {
  const lower = endpoint.toLowerCase();
  const end = lower.startsWith('[') ? lower.indexOf(']') : -1;
  if (end < 0) return lower;
  const host = addressForm(lower.slice(1, end));
  return host.includes(':') ? lower : `${host}${lower.slice(end + 1)}`;
}
