import { loadSettings } from '../pipeline/settings.ts';
import { type ClickHouse, openClickHouse as openServer } from '../pipeline/tables/clickhouse.ts';

/**
 * The ClickHouse a command works with: the one of `location` (http(s):// or clickhouse(s)://), or of the settings. It has been asked, so
 * what comes back works. Throws SettingsError and TableErrors, whose messages say what to do.
 */
export async function openClickHouse(
  location: string | undefined,
): Promise<{ clickhouse: ClickHouse; close(): Promise<void> }> {
  const settings = loadSettings();
  const clickhouse = openServer({ ...settings, clickhouse_url: location ?? settings.clickhouse_url });
  try {
    await clickhouse.probe();
  } catch (error) {
    await clickhouse.close();
    throw error;
  }
  return { clickhouse, close: () => clickhouse.close() };
}
