import { randomBytes } from 'node:crypto';
import type { Logger } from '../log.ts';
import { type ClickHouse, identifier, quote } from '../tables/clickhouse.ts';
import { createTable, onCluster } from '../tables/ddl.ts';
import { REFERENCE_TABLES, REFERENCE_VERSIONS } from '../tables/reference-tables.ts';
import { assertPlausible, ReferenceDataError, versionName } from './dataset.ts';
import { DATASET, type DatasetName } from './datasets.ts';

export interface LoadedReference {
  readonly name: DatasetName;
  readonly version: string;
  /** False when the source holds what is loaded already. */
  readonly changed: boolean;
  readonly rows: number;
  /** Rows left out, with where and why. */
  readonly problems: readonly string[];
}

/** Problems kept with a version: enough to correct the source. */
const PROBLEMS_KEPT = 100;
/** Hours after which a staging table that nobody swapped in is taken for left behind. */
const STAGING_EXPIRY = 6;
const INSERT_ROWS = 50_000;

/**
 * Loads one data set from its source and swaps it in as a whole: the rows go into a table beside the one in use, which is
 * exchanged with it in one step when all are in. What reads meanwhile sees the old data or the new, never a part. Throws
 * ReferenceDataError for a source that cannot be used; then nothing has changed. `now` in milliseconds since 1970.
 */
export async function loadReference(
  clickhouse: ClickHouse,
  name: DatasetName,
  source: string,
  options: { now: number; log: Logger; signal?: AbortSignal },
): Promise<LoadedReference> {
  const { now, log, signal } = options;
  const dataset = DATASET[name];
  const { rows, problems, sha256 } = await dataset.fetch(source, signal);
  assertPlausible(name, { rows, problems }, dataset.limits);
  const told = problems.map(({ where, what }) => `${where}: ${what}`);
  for (const problem of told.slice(0, PROBLEMS_KEPT)) log.warn(`${name}: left out ${problem}`);

  const current = (await referenceVersions(clickhouse, signal))[name];
  if (current?.endsWith(sha256.slice(0, 12))) {
    log.info(`${name} is current: ${current}`);
    return { name, version: current, changed: false, rows: rows.length, problems: told };
  }
  const version = versionName(now, sha256);
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
    // Recorded before it is in use, so that a version a verdict names is always known.
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
          problems: told.slice(0, PROBLEMS_KEPT),
          loaded_at: new Date(now).toISOString(),
        },
      ],
      { signal },
    );
    await clickhouse.command(createTable(table, clickhouse), { signal });
    await exchange(clickhouse, name, staging, version, signal);
  } finally {
    // By now it holds what was in use before, or what did not get that far. A table left by a lost connection goes with the next load.
    await clickhouse
      .command(`DROP TABLE IF EXISTS ${identifier(staging)}${onCluster(clickhouse)} SYNC`)
      .catch(error => log.warn(`${staging} stays until the next load: ${(error as Error).message}`));
  }
  log.info(`${name}: version ${version}, ${rows.length} rows, ${problems.length} left out`);
  return { name, version, changed: true, rows: rows.length, problems: told };
}

/**
 * Loads a data set unless it was loaded before, by whomever, or is absent from the database. For what cannot be done without it: the
 * first verdicts of a new installation must not wait for a schedule, nor be made without knowing block pages. Throws as loadReference.
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

/** The version of each data set in use; empty for a table that was never loaded, or was by the Python pipeline. */
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

/** EXCHANGE is not one of the statements that may run twice: a second run would swap the old data back in. So it is asked first. */
async function exchange(
  clickhouse: ClickHouse,
  name: DatasetName,
  staging: string,
  version: string,
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

/** Rows are counted before they are put to use, so that a lost or repeated insert is not. */
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
