import type { MeasurementRef, RowBlock } from './block.ts';
import type { ClickHouse } from './clickhouse.ts';
import { syncReplicas } from './cluster.ts';
import { LONG_RETRY, retry } from './retry.ts';
import type { Table } from './schema.ts';

/**
 * The contents that claim uids, for uids that documents contain. A claim has the time at which it was made. The content that owns a uid has HELD
 * instead. Post names are unique and trivial ids are derived from the content, so this table does not contain them.
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

/** `claimed_at` of the content that owns a uid. Earlier than all claims, so the minimum keeps it. */
const HELD = '1970-01-01 00:00:00.000000';

/** Number of uids in one query, so that its text stays below ClickHouse's limit of 256 KiB. */
const ASKED = 1000;

/** The contents that claim a uid. */
interface Claims {
  readonly owner?: string;
  readonly digests: readonly string[];
}

/** Returns the claims on each uid. Unclaimed uids are left out. */
async function claimsOn(
  clickhouse: ClickHouse,
  uids: Iterable<string>,
  signal?: AbortSignal,
): Promise<Map<string, Claims>> {
  const all = [...new Set(uids)];
  const claims = new Map<string, Claims>();
  for (let start = 0; start < all.length; start += ASKED) {
    const rows = await clickhouse.select<{ uid: string; digests: string[]; owners: string[] }>(
      `SELECT measurement_uid AS uid, groupUniqArray(digest) AS digests,
         arraySort(groupUniqArrayIf(digest, claimed_at = {held:DateTime64(6, 'UTC')})) AS owners
       FROM ${PIPELINE_UIDS.name} WHERE measurement_uid IN {uids:Array(String)} GROUP BY measurement_uid`,
      { params: { uids: all.slice(start, start + ASKED), held: HELD }, signal },
    );
    for (const { uid, digests, owners } of rows) {
      claims.set(uid, { digests, ...(owners[0] !== undefined && { owner: owners[0] }) });
    }
  }
  return claims;
}

/** Returns the digest of the content that owns each uid. Uids without an owner are left out. Throws TableErrors. */
export async function ownersOf(
  clickhouse: ClickHouse,
  uids: Iterable<string>,
  signal?: AbortSignal,
): Promise<Map<string, string>> {
  const claims = await claimsOn(clickhouse, uids, signal);
  return new Map([...claims].flatMap(([uid, { owner }]) => (owner === undefined ? [] : [[uid, owner] as const])));
}

/**
 * Claims the uids of measurements, in order. Call it before their rows are stored, because rows of two measurements with one uid can
 * replace each other. Returns the measurements whose uid does not belong to their content. May be repeated. Throws TableErrors.
 *
 * A batch stores its claim and then reads all claims. It owns the uid if it finds no other content. Of two batches that claim at the same
 * time, the one whose claim is stored later reads the claim of the other, whatever their clocks say. So a uid never has two owners. It has
 * none, and each content gets its substitute, when both read both claims.
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
      const store = (rows: readonly object[]) => clickhouse.insert(PIPELINE_UIDS.name, rows, { signal });
      const owners = await ownersOf(
        clickhouse,
        claiming.map(({ uid }) => uid),
        signal,
      );
      // Of several contents in one batch, the first claims.
      const first = new Map<string, string>();
      for (const { uid, claim } of claiming) if (!owners.has(uid) && !first.has(uid)) first.set(uid, claim!.digest);
      if (first.size > 0) {
        await store(Array.from(first, ([measurement_uid, digest]) => ({ measurement_uid, digest })));
        await syncReplicas(clickhouse, [PIPELINE_UIDS.name], signal);
        const claims = await claimsOn(clickhouse, first.keys(), signal);
        const held: object[] = [];
        for (const [uid, digest] of first) {
          const { owner, digests = [] } = claims.get(uid) ?? {};
          if (owner !== undefined) owners.set(uid, owner);
          else if (digests.length === 1 && digests[0] === digest) {
            owners.set(uid, digest);
            held.push({ measurement_uid: uid, digest, claimed_at: HELD });
          }
        }
        // Recorded before rows are stored: a later attempt finds the claims of others beside its own.
        if (held.length > 0) await store(held);
      }
      return new Set(claiming.filter(({ uid, claim }) => owners.get(uid) !== claim!.digest));
    },
    { ...LONG_RETRY, signal },
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
