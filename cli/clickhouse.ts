import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { EmbeddedError, openEmbedded } from '../clickhouse/embedded.ts';
import { ensureDatabase } from '../pipeline/migrations/migrate.ts';
import { loadSettings, type Settings } from '../pipeline/settings.ts';
import { type ClickHouse, openClickHouse as openServer } from '../pipeline/tables/clickhouse.ts';
import { TableSchemaError } from '../pipeline/tables/errors.ts';

export const EMBEDDED = 'embedded:';

export interface OpenedClickHouse {
  readonly clickhouse: ClickHouse;
  /** The settings with the `clickhouse_url` under which this process and its threads reach it; carries a password. */
  readonly settings: Settings;
  /** For people; carries no password. */
  readonly name: string;
  /** No other process can be at work on it. */
  readonly alone: boolean;
  /** Statements at work are waited for; then an embedded one is flushed and its directory released. */
  close(): Promise<void>;
}

export interface OpenClickHouseOptions {
  /** Settings other than those of the environment. */
  readonly settings?: Settings;
  /** Make the directory or the database when it is not there; otherwise that is an error. */
  readonly create?: boolean;
}

/**
 * The ClickHouse a command works with: a server (`http(s)://` or `clickhouse(s)://`), or `embedded:DIR`, ClickHouse in this process with
 * its data in DIR; undefined: what the settings say (`clickhouse_url`, which may be `embedded:DIR` here, too). It has been asked, so what
 * comes back works. Throws SettingsError, EmbeddedError and TableErrors, whose messages say what to do.
 */
export async function openClickHouse(
  location: string | undefined,
  options: OpenClickHouseOptions = {},
): Promise<OpenedClickHouse> {
  const { settings = loadSettings(), create = false } = options;
  const place = location ?? settings.clickhouse_url;
  return place.startsWith(EMBEDDED)
    ? openInProcess(resolve(place.slice(EMBEDDED.length)), settings, create)
    : openOnServer({ ...settings, clickhouse_url: place }, create);
}

async function openInProcess(dir: string, settings: Settings, create: boolean): Promise<OpenedClickHouse> {
  checkDirectory(dir, create);
  const password = randomBytes(16).toString('hex');
  const embedded = await openEmbedded(dir, { port: 0, password });
  const url = embedded.url.replace('//', `//default:${password}@`);
  const reached = { ...settings, clickhouse_url: url, clickhouse_cluster: '' };
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

/** What the engine makes in its directory; `metadata` is there from the first start on. */
const OF_CLICKHOUSE = new Set(['data', 'metadata', 'scratch', 'status', 'store', 'tmp']);

/** A mistyped directory must not become an empty database, nor a directory of other things one with a database in it. */
function checkDirectory(dir: string, create: boolean): void {
  if (existsSync(join(dir, 'metadata'))) return;
  if (!create) throw new EmbeddedError(`there is no ClickHouse data in ${dir}; oonipipeline run makes it`);
  const other = existsSync(dir) ? namesIn(dir).find(name => !OF_CLICKHOUSE.has(name)) : undefined;
  if (other !== undefined) {
    throw new EmbeddedError(
      `${dir} holds other things than ClickHouse data (${other}); name a directory that is new or empty`,
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

async function openOnServer(settings: Settings, create: boolean): Promise<OpenedClickHouse> {
  const clickhouse = openServer(settings);
  try {
    await clickhouse.probe();
  } catch (error) {
    if (!create || !(error instanceof TableSchemaError)) {
      await clickhouse.close();
      throw error;
    }
    await ensureDatabase(settings);
  }
  return { clickhouse, settings, name: clickhouse.name, alone: false, close: () => clickhouse.close() };
}
