import { randomBytes } from 'node:crypto';
import { type ClickHouse, identifier, quote } from '../tables/clickhouse.ts';
import { createTable, onCluster } from '../tables/ddl.ts';
import { REFERENCE_TABLES, REFERENCE_VERSIONS } from '../tables/reference-tables.ts';
import type { Logger } from '../telemetry/log.ts';
import { assertPlausible, ReferenceDataError, versionName } from './dataset.ts';
import { DATASETS, type DatasetName } from './datasets.ts';

export interface LoadedReference {
  readonly name: DatasetName;
  readonly version: string;
  /** False if the source has the version that is already loaded. */
  readonly changed: boolean;
  readonly rows: number;
  /** Omitted rows, with location and reason. */
  readonly problems: readonly string[];
}

/** Number of problems stored with a version: enough to correct the source. */
const PROBLEMS_KEPT = 100;
/** Hours after which a staging table that was not swapped in counts as abandoned. */
const STAGING_EXPIRY = 6;
const INSERT_ROWS = 50_000;

/**
 * Loads one data set from its source and replaces the table as a whole: the rows are inserted into a staging table, which is
 * exchanged with the table in one step. Concurrent readers see the old data or the new data, never a part. Throws
 * ReferenceDataError for a source that cannot be used; then nothing was changed.
 *
 * @param options `now` is in milliseconds since 1970
 */
export async function loadReference(
  clickhouse: ClickHouse,
  name: DatasetName,
  source: string,
  options: { now: number; log: Logger; signal?: AbortSignal },
): Promise<LoadedReference> {
  const { now, log, signal } = options;
  const dataset = DATASETS[name];
  const { rows, problems, sha256, digest } = await dataset.fetch(source, signal);
  assertPlausible(name, { rows, problems }, dataset.limits);
  const described = problems.map(({ where, what }) => `${where}: ${what}`);
  for (const problem of described.slice(0, PROBLEMS_KEPT)) log.warn(`${name}: left out ${problem}`);

  const current = (await referenceVersions(clickhouse, signal))[name];
  if (current?.endsWith(digest.slice(0, 12))) {
    log.info(`${name} is current: ${current}`);
    return { name, version: current, changed: false, rows: rows.length, problems: described };
  }
  const version = versionName(now, digest);
  await dropAbandoned(clickhouse, name, signal);
  const staging = `${name}_next_${randomBytes(4).toString('hex')}`;
  const table = REFERENCE_TABLES.find(each => each.name === name)!;
  await clickhouse.command(createTable({ ...table, name: staging }, clickhouse), { signal });
  try {
    for (let first = 0; first < rows.length; first += INSERT_ROWS) {
      await clickhouse.insert(staging, rows.slice(first, first + INSERT_ROWS), { signal });
    }
    await assertStored(clickhouse, staging, rows, signal);
    await clickhouse.command(
      `ALTER TABLE ${identifier(staging)}${onCluster(clickhouse)} MODIFY COMMENT ${quote(version)}`,
      { signal },
    );
    // The version is recorded before it is in use, so that every version named by a verdict is known.
    await clickhouse.insert(
      REFERENCE_VERSIONS.name,
      [
        {
          name,
          version,
          source: withoutSecrets(source),
          sha256,
          rows: rows.length,
          broken_rows: problems.length,
          problems: described.slice(0, PROBLEMS_KEPT),
          loaded_at: new Date(now).toISOString(),
        },
      ],
      { signal },
    );
    await clickhouse.command(createTable(table, clickhouse), { signal });
    await exchange(clickhouse, { name, staging, version }, signal);
  } finally {
    // The staging table now has the previous data, or an incomplete load. If the connection is lost, a later load drops it.
    await clickhouse
      .command(`DROP TABLE IF EXISTS ${identifier(staging)}${onCluster(clickhouse)} SYNC`)
      .catch(error => log.warn(`${staging} stays until the next load: ${(error as Error).message}`));
  }
  log.info(`${name}: version ${version}, ${rows.length} rows, ${problems.length} left out`);
  return { name, version, changed: true, rows: rows.length, problems: described };
}

/**
 * Loads a data set unless it was loaded before, by any program, or the database lacks its table. Use it for work that needs the
 * data: the first verdicts of a new installation must not wait for a schedule, and must not be made without the fingerprints of
 * block pages. Throws as loadReference.
 */
export async function ensureReference(
  clickhouse: ClickHouse,
  name: DatasetName,
  source: string | undefined,
  options: { now: number; log: Logger; signal?: AbortSignal },
): Promise<void> {
  if (source === undefined) return;
  const version = (await referenceVersions(clickhouse, options.signal))[name];
  if (version !== '') return;
  const [stored] = await clickhouse.select<{ n: number }>(`SELECT count() AS n FROM ${identifier(name)}`, {
    signal: options.signal,
  });
  if (stored?.n === 0) await loadReference(clickhouse, name, source, options);
}

/**
 * As ensureReference, for data that work can do without: a source that cannot be used causes only a warning. The rows show that the data
 * were missing.
 */
export async function tryReference(
  clickhouse: ClickHouse,
  name: DatasetName,
  source: string | undefined,
  options: { now: number; log: Logger; signal?: AbortSignal },
): Promise<void> {
  try {
    await ensureReference(clickhouse, name, source, options);
  } catch (error) {
    if (!(error instanceof ReferenceDataError)) throw error;
    options.log.warn(`${name} is not loaded, and the work continues without it: ${error.message}`);
  }
}

/** Returns the version in use of each data set: empty for a table that was never loaded, or that the Python pipeline loaded. */
export async function referenceVersions(
  clickhouse: ClickHouse,
  signal?: AbortSignal,
): Promise<Partial<Record<DatasetName, string>>> {
  const names = REFERENCE_TABLES.map(table => table.name);
  const found = await clickhouse.select<{ name: DatasetName; comment: string }>(
    'SELECT name, comment FROM system.tables WHERE database = currentDatabase() AND name IN {names:Array(String)}',
    { params: { names }, signal },
  );
  return Object.fromEntries(found.map(({ name, comment }) => [name, comment]));
}

/**
 * Exchanges the tables. EXCHANGE must not run twice, because a second run would swap the old data back in. So each attempt first
 * checks the version in use.
 */
async function exchange(
  clickhouse: ClickHouse,
  { name, staging, version }: { readonly name: DatasetName; readonly staging: string; readonly version: string },
  signal?: AbortSignal,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    if ((await referenceVersions(clickhouse, signal))[name] === version) return;
    try {
      await clickhouse.commandOnce(
        `EXCHANGE TABLES ${identifier(name)} AND ${identifier(staging)}${onCluster(clickhouse)}`,
        { signal },
      );
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

/** Counts the stored rows before they are used. The count detects a lost or repeated insert. */
async function assertStored(
  clickhouse: ClickHouse,
  staging: string,
  rows: readonly object[],
  signal?: AbortSignal,
): Promise<void> {
  const [stored] = await clickhouse.select<{ n: number }>(`SELECT count() AS n FROM ${identifier(staging)}`, {
    signal,
  });
  if (stored?.n !== rows.length) {
    throw new ReferenceDataError(
      `${staging} holds ${stored?.n} rows after ${rows.length} were inserted; nothing was changed, try again`,
    );
  }
}

async function dropAbandoned(clickhouse: ClickHouse, name: DatasetName, signal?: AbortSignal): Promise<void> {
  const found = await clickhouse.select<{ name: string }>(
    `SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String})
     AND metadata_modification_time < now() - INTERVAL ${STAGING_EXPIRY} HOUR`,
    { params: { prefix: `${name}_next_` }, signal },
  );
  for (const table of found) {
    await clickhouse.command(`DROP TABLE IF EXISTS ${identifier(table.name)}${onCluster(clickhouse)} SYNC`, { signal });
  }
}

function withoutSecrets(source: string): string {
  return source.replace(/\?.*$/, '').replace(/\/\/[^@/]*@/, '//');
}
