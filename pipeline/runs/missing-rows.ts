import type { Archive } from '../archive/archive.ts';
import { readDocuments } from '../archive/documents.ts';
import type { ArchiveFile } from '../archive/keys.ts';
import { auditMeasurements, auditRefused } from '../ledger/audit.ts';
import { firstCopiesQuery, type Identity } from '../ledger/duplicate-uploads.ts';
import type { RunKey } from '../ledger/ledger.ts';
import { takePlainRows } from '../observations/plain-rows.ts';
import { type Outcome, Transformer } from '../observations/transformer.ts';
import { openIpMetadata } from '../reference/ip-metadata.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { RowEncoder } from '../tables/encoder.ts';
import { OBSERVATION_TABLES, type ObservationTable } from '../tables/schema.ts';
import { ownersOf } from '../tables/uids.ts';

/** Rows of one object that are missing in a table. */
export interface MissingRows {
  readonly key: string;
  readonly table: ObservationTable;
  rows: number;
  measurements: number;
  /** Uid of one of the measurements. */
  readonly example: string;
}

/** One measurement of an object: its line and its expected number of rows by table. */
interface Expected {
  readonly line: number;
  readonly rows: Partial<Record<ObservationTable, number>>;
  readonly identity: Identity;
}

/** How objects are read again. */
interface ReadTools {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
  readonly maxMeasurementBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** The tables, and the run whose rows they should hold. */
interface Stored {
  readonly clickhouse: ClickHouse;
  readonly run: Omit<RunKey, 'stage'>;
  /** Number of rows that ClickHouse rejected, by `key line table`. */
  readonly refused: ReadonlyMap<string, number>;
  readonly signal: AbortSignal | undefined;
}

/** Number of measurements in one query. */
const ASKED = 500;

/**
 * Reads objects again and returns their rows that are not in the tables, except for rows that ClickHouse rejected. A measurement in several
 * objects needs its rows once. A measurement whose rows are stored under another uid (duplicate-uploads.ts) needs none. Takes the time of a
 * run without its INSERTs. Calls `onUid` for every measurement that makes rows. Throws ArchiveErrors and TableErrors.
 */
export async function findMissingRows(
  tools: ReadTools,
  run: Omit<RunKey, 'stage'>,
  files: Iterable<ArchiveFile>,
  onUid: (uid: string) => void,
): Promise<MissingRows[]> {
  const { archive, clickhouse, maxMeasurementBytes, signal } = tools;
  const stored = { clickhouse, run, refused: await auditRefused(clickhouse, run, signal), signal };
  const missing = new Map<string, MissingRows>();
  for (const file of files) {
    const encoder = new RowEncoder();
    // The number of rows does not depend on IP metadata.
    const facts = { bucket: run.bucket, generation: run.generation, createdAt: run.generation, filter: run.filter };
    const transformer = new Transformer({ ...facts, ipMetadata: openIpMetadata(undefined), encoder });
    let waiting = new Map<string, Expected>();
    const ask = async () => {
      for (const [uid, table, rows] of await lacking(stored, file.key, waiting)) {
        const place = `${table} ${file.key}`;
        const found = missing.get(place) ?? { key: file.key, table, rows: 0, measurements: 0, example: uid };
        found.rows += rows;
        found.measurements++;
        missing.set(place, found);
      }
      waiting = new Map();
    };
    for await (const documents of readDocuments(archive, file, { maxMeasurementBytes, signal })) {
      const made: { line: number; outcome: Outcome; tables: ReturnType<typeof takePlainRows> }[] = [];
      for (const document of documents) {
        const outcome = transformer.transform(document, file.key);
        made.push({ line: document.line, outcome, tables: takePlainRows(encoder) });
      }
      const claimed = made.flatMap(({ outcome }) => (outcome.claim && outcome.uid ? [outcome.uid] : []));
      const owners = await ownersOf(clickhouse, claimed, signal);
      for (const { line, outcome, tables } of made) {
        const { status, claim } = outcome;
        const first = Object.values(tables)[0]?.[0];
        if (status !== 'transformed' || outcome.uid === undefined || first === undefined) continue;
        const owner = owners.get(outcome.uid);
        const uid = claim && owner !== undefined && owner !== claim.digest ? claim.substitute : outcome.uid;
        onUid(uid);
        const before = waiting.get(uid)?.rows ?? {};
        const rows: Expected['rows'] = {};
        for (const { name } of OBSERVATION_TABLES) rows[name] = Math.max(before[name] ?? 0, tables[name]?.length ?? 0);
        waiting.set(uid, { line, rows, identity: first as unknown as Identity });
        if (waiting.size >= ASKED) await ask();
      }
    }
    await ask();
  }
  return [...missing.values()];
}

/** Returns the given measurements that lack rows, with the table and the number of missing rows. */
async function lacking(
  stored: Stored,
  key: string,
  expected: ReadonlyMap<string, Expected>,
): Promise<[uid: string, table: ObservationTable, rows: number][]> {
  if (expected.size === 0) return [];
  const { clickhouse, run, refused, signal } = stored;
  const lacks: [string, ObservationTable, number][] = [];
  for (const table of OBSERVATION_TABLES) {
    const { name } = table;
    const found = await auditMeasurements(clickhouse, table, { ...run, uids: [...expected.keys()] }, signal);
    const short = [...expected].flatMap(([uid, { line, rows, identity }]) => {
      const rest = (rows[name] ?? 0) - (found.get(uid) ?? 0) - (refused.get(`${key} ${line} ${name}`) ?? 0);
      return rest > 0 ? [{ uid, rest, identity }] : [];
    });
    if (short.length === 0) continue;
    const identities = short.map(({ identity }) => identity);
    const copies = await firstCopies(stored, name, identities);
    for (const { uid, rest, identity } of short) if (!copies.has(textOf(identity))) lacks.push([uid, name, rest]);
  }
  return lacks;
}

async function firstCopies(
  { clickhouse, run, signal }: Stored,
  table: ObservationTable,
  measurements: readonly Identity[],
): Promise<Set<string>> {
  const query = firstCopiesQuery(table, run.bucket, measurements);
  if (!query) return new Set();
  const rows = await clickhouse.select<{ r: string; t: string; i: string; s: string }>(query, { signal });
  return new Set(
    rows.map(({ r, t, i, s }) => textOf({ report_id: r, test_name: t, input: i, measurement_start_time: s })),
  );
}

function textOf({ report_id, test_name, input = '', measurement_start_time }: Identity): string {
  return JSON.stringify([report_id, test_name, input, measurement_start_time]);
}
