import type { MeasurementRef, RowBlock } from './block.ts';
import type { ClickHouse } from './clickhouse.ts';
import { PATIENT, retry } from './retry.ts';
import type { Table } from './schema.ts';

/**
 * The content that owns each uid, for uids that documents contain: the first content that claimed it. Post names are unique and trivial ids
 * are derived from the content, so this table does not contain them.
 */
export const PIPELINE_UIDS = {
  name: 'pipeline_uids',
  columns: [
    ['measurement_uid', 'String'],
    ['digest', 'String'],
    ['claimed_at', "SimpleAggregateFunction(min, DateTime64(6, 'UTC')) DEFAULT now64(6, 'UTC')"],
  ],
  engine: 'AggregatingMergeTree',
  orderBy: ['measurement_uid', 'digest'],
} as const satisfies Table;

/** A claim of a document on the uid that it contains. Two documents with one uid are the same measurement if their digests are equal. */
export interface UidClaim {
  readonly digest: string;
  /** The uid that the measurement gets if another content owns its uid. */
  readonly substitute: string;
}

/** Number of uids in one query, so that its text stays below ClickHouse's limit of 256 KiB. */
const ASKED = 1000;

/** Returns the digest of the content that owns each uid. Unclaimed uids are left out. Throws TableErrors. */
export async function ownersOf(
  clickhouse: ClickHouse,
  uids: Iterable<string>,
  signal?: AbortSignal,
): Promise<Map<string, string>> {
  const all = [...new Set(uids)];
  const owners = new Map<string, string>();
  for (let start = 0; start < all.length; start += ASKED) {
    const rows = await clickhouse.select<{ uid: string; owner: string }>(
      `SELECT measurement_uid AS uid, argMin(digest, (claimed_at, digest)) AS owner FROM ${PIPELINE_UIDS.name}
       WHERE measurement_uid IN {uids:Array(String)} GROUP BY measurement_uid`,
      { params: { uids: all.slice(start, start + ASKED) }, signal },
    );
    for (const { uid, owner } of rows) owners.set(uid, owner);
  }
  return owners;
}

/**
 * Claims the uids of measurements, in order. Call it before their rows are stored, because rows of two measurements with one uid can replace
 * each other. Returns the measurements whose uid belongs to another content. May be repeated. Throws TableErrors.
 */
export async function claimUids(
  clickhouse: ClickHouse,
  measurements: readonly MeasurementRef[],
  signal?: AbortSignal,
): Promise<ReadonlySet<MeasurementRef>> {
  const claiming = measurements.filter(({ claim }) => claim !== undefined);
  if (claiming.length === 0) return new Set();
  return retry(
    async () => {
      let owners = await ownersOf(
        clickhouse,
        claiming.map(({ uid }) => uid),
        signal,
      );
      const first = new Map<string, string>();
      for (const { uid, claim } of claiming) if (!owners.has(uid) && !first.has(uid)) first.set(uid, claim!.digest);
      if (first.size > 0) {
        const rows = Array.from(first, ([measurement_uid, digest]) => ({ measurement_uid, digest }));
        await clickhouse.insert(PIPELINE_UIDS.name, rows, { signal });
        // Another batch may have claimed one of them at the same time.
        owners = new Map([...owners, ...(await ownersOf(clickhouse, first.keys(), signal))]);
      }
      return new Set(claiming.filter(({ uid, claim }) => owners.get(uid) !== claim!.digest));
    },
    { ...PATIENT, signal },
  );
}

/** Returns the block with the substitute uid in the rows of some measurements. */
export function substituteUids(block: RowBlock, of: ReadonlySet<MeasurementRef>): RowBlock {
  const renamed = block.measurements.map(each => of.has(each));
  if (!renamed.includes(true)) return block;
  const measurements = block.measurements.map((each, i) =>
    renamed[i] ? { ...each, uid: each.claim!.substitute } : each,
  );
  const offsets = new Uint32Array(block.rows + 1);
  const pieces: Uint8Array[] = [];
  for (let row = 0; row < block.rows; row++) {
    const owner = block.owners[row]!;
    let bytes = block.bytes.subarray(block.offsets[row], block.offsets[row + 1]);
    if (renamed[owner]) {
      // The uid is the first column of every table: its length, then its bytes.
      const was = Buffer.byteLength(block.measurements[owner]!.uid);
      const is = Buffer.from(measurements[owner]!.uid);
      if (bytes[0] !== was || is.length > 127)
        throw new TypeError(`a row of ${block.table} does not begin with its uid`);
      pieces.push(Buffer.from([is.length]), is);
      bytes = bytes.subarray(1 + was);
      offsets[row + 1] = offsets[row]! + 1 + is.length + bytes.length;
    } else {
      offsets[row + 1] = offsets[row]! + bytes.length;
    }
    pieces.push(bytes);
  }
  return { ...block, bytes: Buffer.concat(pieces), offsets, measurements };
}
