import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { settingsFrom } from '../operator/manifests.ts';
import { openArchive } from '../pipeline/archive/open.ts';
import { DATASETS } from '../pipeline/reference/datasets.ts';
import { NO_SOURCE } from '../pipeline/reference/no-source.ts';
import { loadSettings, SettingsError } from '../pipeline/settings.ts';
import { parseClickHouseUrl } from '../pipeline/tables/clickhouse-url.ts';
import type { JaegerServer } from './jaeger.ts';
import { here } from './options.ts';
import { StartError } from './process.ts';
import { ROOT, type Stack } from './stack.ts';

/** Throws StartError for settings in the environment that every program would reject. */
export function checkSettings(): void {
  const given = Object.entries(settingsFrom(process.env)).map(([key, value]) => [key.toUpperCase(), value]);
  try {
    const settings = loadSettings(Object.fromEntries(given));
    // These two have their own formats. Nothing connects to them yet.
    parseClickHouseUrl(settings.clickhouse_url);
    openArchive(settings);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    throw new StartError(`${error.message}\ndocs/settings.md has all settings.`);
  }
  for (const [key, path] of localPaths(settingsFrom(process.env))) {
    if (!existsSync(path))
      throw new StartError(`${key.toUpperCase()} = ${path} does not exist. Correct it, or unset it.`);
  }
}

/** Returns the settings that are files or directories of this machine, as absolute paths. */
function localPaths(given: Readonly<Record<string, string>>): [key: string, path: string][] {
  const sources = Object.values(DATASETS).map(({ setting }) => setting);
  return ['archive_url', 'archive_legacy_url', 'geoip_dir', ...sources].flatMap(key => {
    const value = given[key];
    return value && value !== NO_SOURCE && !value.includes('://') ? [[key, here(value)] as [string, string]] : [];
  });
}

/** Returns the settings of workers and operator: those of this stack, with those of the environment in their place. */
export function settingsOf(stack: Stack, jaeger: JaegerServer | undefined): Record<string, string> {
  const own = {
    archive_url: join(ROOT, 'test/fixtures/archive'),
    // Reference data of the repository: a start needs no network, and every start shows the same.
    fingerprints_dns_source: join(ROOT, 'test/fixtures/fingerprints/fingerprints_dns.csv'),
    fingerprints_http_source: join(ROOT, 'test/fixtures/fingerprints/fingerprints_http.csv.gz'),
    test_lists_source: join(ROOT, 'test/fixtures/test-lists.tar.gz'),
    as_organisations_source: NO_SOURCE,
    temporal_address: stack.temporal.address,
    temporal_ui_url: stack.temporal.uiUrl ?? '',
    log_format: 'json',
    ...(jaeger && { telemetry_endpoint: jaeger.endpoint }),
  };
  // The stack decides the address of a server, even if the environment has another one.
  const { temporal_address: _, temporal_ui_url: __, ...given } = settingsFrom(process.env);
  return { ...own, ...given, ...Object.fromEntries(localPaths(given)), clickhouse_url: stack.clickhouse.url };
}
