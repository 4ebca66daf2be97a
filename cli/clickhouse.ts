import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { EmbeddedError } from '../clickhouse/embedded-error.ts';
import { hidePasswords } from '../pipeline/hide-password.ts';
import { clause } from '../pipeline/sentence.ts';
import { loadSettings, type Settings } from '../pipeline/settings.ts';
import type { ClickHouse, OpenOptions } from '../pipeline/tables/clickhouse.ts';
import { TableSchemaError } from '../pipeline/tables/errors.ts';
import { beginsWithTilde, TILDE } from './names.ts';
import { printable } from './printable.ts';

export const EMBEDDED = 'embedded:';

export interface OpenedClickHouse {
  readonly clickhouse: ClickHouse;
  /** Settings with the `clickhouse_url` that this process and its threads use. The URL contains a password. */
  readonly settings: Settings;
  /** Name for messages. Contains no password. */
  readonly name: string;
  /** True if no other process can use this ClickHouse. */
  readonly alone: boolean;
  /** Waits for running statements. For an embedded ClickHouse, then flushes the data and releases the directory. */
  close(): Promise<void>;
}

/** For a display: a statement to a server that hangs ends after 10 s, and no statement is repeated, because a person waits. */
export const FOR_DISPLAY: OpenOptions = { timeout: 10_000, retry: { attempts: 1, initial: 0, longest: 0 } };

/** Milliseconds from which a wait is reported. */
const NOTICED = 1_000;

/** Reports on standard error why a statement is sent again, and when. */
function announce(error: Error, _attempt: number, wait: number): void {
  if (wait < NOTICED) return;
  const seconds = Math.round(wait / 1000);
  console.error(printable(hidePasswords(`${error.message}; the statement is sent again in ${seconds} s`)));
}

export interface OpenClickHouseOptions {
  /** Settings that replace those of the environment. */
  readonly settings?: Settings;
  /** Creates a missing directory or database. Without this option, a missing one is an error. */
  readonly create?: boolean;
  /** How statements are sent to a server. */
  readonly sending?: OpenOptions;
}

/**
 * Opens the ClickHouse of a command: a server (`http(s)://` or `clickhouse(s)://`), or `embedded:DIR`, which is ClickHouse in this process
 * with its data in DIR. Without a location, the setting `clickhouse_url` counts; it may also be `embedded:DIR` here. The returned
 * connection has been tested. Throws SettingsError, EmbeddedError and TableErrors; their messages name the remedy.
 */
export async function openClickHouse(
  location: string | undefined,
  options: OpenClickHouseOptions = {},
): Promise<OpenedClickHouse> {
  const { settings = loadSettings(), create = false, sending = {} } = options;
  const place = location ?? settings.clickhouse_url;
  if (place.startsWith(EMBEDDED) && beginsWithTilde(place.slice(EMBEDDED.length)))
    throw new EmbeddedError(`${place}: ${TILDE}`);
  return place.startsWith(EMBEDDED)
    ? openInProcess(resolve(place.slice(EMBEDDED.length)), settings, create)
    : openOnServer({ ...settings, clickhouse_url: place }, create, sending);
}

async function openInProcess(dir: string, settings: Settings, create: boolean): Promise<OpenedClickHouse> {
  checkDirectory(dir, create);
  const password = randomBytes(16).toString('hex');
  // The client, the engine and the migrations are loaded by the commands that use them.
  const { openEmbedded } = await import('../clickhouse/embedded.ts');
  const embedded = await openEmbedded(dir, { port: 0, password });
  const url = embedded.url.replace('//', `//default:${password}@`);
  const reached = { ...settings, clickhouse_url: url, clickhouse_cluster: '' };
  const { openClickHouse: openServer } = await import('../pipeline/tables/clickhouse.ts');
  const clickhouse = openServer(reached);
  return {
    clickhouse,
    settings: reached,
    name: `${EMBEDDED}${dir}`,
    alone: true,
    close: async () => {
      await clickhouse.close();
      await embedded.close();
    },
  };
}

/** Names that the engine creates in its directory. `metadata` exists from the first start on. */
const OF_CLICKHOUSE = new Set(['data', 'metadata', 'scratch', 'status', 'store', 'tmp']);

/** Ensures that a mistyped directory does not become an empty database, and that a directory with other files does not get a database. */
function checkDirectory(dir: string, create: boolean): void {
  if (existsSync(join(dir, 'metadata'))) {
    checkAccess(dir);
    return;
  }
  if (!create) throw new EmbeddedError(`there is no ClickHouse data in ${dir}; oonipipeline run creates it`);
  const other = existsSync(dir) ? namesIn(dir).find(name => !OF_CLICKHOUSE.has(name)) : undefined;
  if (other !== undefined) {
    throw new EmbeddedError(
      `${dir} holds other things than ClickHouse data (${other}); name a directory that is new or empty`,
    );
  }
}

/** Throws EmbeddedError if this user may not write the data in a directory. ClickHouse writes also for a query. */
function checkAccess(dir: string): void {
  try {
    for (const place of [dir, join(dir, 'metadata')])
      accessSync(place, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new EmbeddedError(
      `ClickHouse cannot write its data in ${dir}: ${clause((error as Error).message)}; it writes also for a query, so this user needs to be allowed to`,
    );
  }
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    throw new EmbeddedError(`ClickHouse cannot keep its data in ${dir}: ${(error as Error).message}`);
  }
}

async function openOnServer(settings: Settings, create: boolean, sending: OpenOptions): Promise<OpenedClickHouse> {
  const { openClickHouse: openServer } = await import('../pipeline/tables/clickhouse.ts');
  const clickhouse = openServer(settings, { onRetry: announce, ...sending });
  try {
    await clickhouse.probe();
  } catch (error) {
    if (!create || !(error instanceof TableSchemaError)) {
      await clickhouse.close();
      throw error;
    }
    const { ensureDatabase } = await import('../pipeline/migrations/migrate.ts');
    await ensureDatabase(settings);
  }
  return { clickhouse, settings, name: clickhouse.name, alone: false, close: () => clickhouse.close() };
}
