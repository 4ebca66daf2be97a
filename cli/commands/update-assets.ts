import { Command, InvalidArgumentError, Option } from 'commander';
import { ArchiveError } from '../../pipeline/archive/archive.ts';
import { openArchive } from '../../pipeline/archive/open.ts';
import { hidePassword, hidePasswords } from '../../pipeline/hide-password.ts';
import { ReferenceDataError } from '../../pipeline/reference/dataset.ts';
import { DATASET_NAMES, DATASETS, type DatasetName, sourceOf } from '../../pipeline/reference/datasets.ts';
import { fetchIpDatabases } from '../../pipeline/reference/ip-databases.ts';
import { IpDatabaseError } from '../../pipeline/reference/ip-files.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { loadReference, referenceVersions } from '../../pipeline/reference/load.ts';
import { loadSettings, type Settings } from '../../pipeline/settings.ts';
import { openClickHouse } from '../clickhouse.ts';
import { createCommandLogger } from '../command-logger.ts';
import { withExitStatus } from '../exit-status.ts';
import { type CommonOptions, checkClickHouse, clickhouseOption, tableOption } from '../options.ts';
import { type Column, printRows, type TableForm } from '../table.ts';

interface Options extends CommonOptions {
  readonly only?: readonly string[];
  readonly dryRun?: boolean;
  readonly output?: TableForm;
}

interface AssetRow {
  readonly asset: string;
  readonly state: 'updated' | 'current' | 'off' | 'failed' | 'would be loaded';
  readonly version: string;
  readonly rows?: number;
  readonly leftOut?: number;
  readonly message: string;
}

const GEOIP = 'geoip';
const ASSETS = [...DATASET_NAMES, GEOIP] as const;

const COLUMNS: readonly Column<AssetRow>[] = [
  { title: 'ASSET', text: row => row.asset },
  {
    title: 'STATE',
    text: row => row.state,
    paint: (row, { bad, good, faint }) => (row.state === 'failed' ? bad : row.state === 'off' ? faint : good),
  },
  { title: 'VERSION', text: row => row.version },
  { title: 'ROWS', text: row => row.rows?.toLocaleString('en') ?? '', right: true },
  { title: 'MESSAGE', text: row => row.message, flexible: true },
];

/** Creates `oonipipeline update-assets`, which loads reference data now. */
export function updateAssetsCommand(): Command {
  return new Command('update-assets')
    .addOption(
      new Option('--only <asset>', 'only this asset; may be given more than once')
        .choices(ASSETS)
        .argParser((value: string, before: readonly string[] = []) => {
          if (!(ASSETS as readonly string[]).includes(value)) {
            throw new InvalidArgumentError(`Allowed choices are ${ASSETS.join(', ')}.`);
          }
          return [...before, value];
        }),
    )
    .option('--dry-run', 'show what would be loaded; change nothing')
    .addOption(clickhouseOption())
    .addOption(tableOption())
    .addHelpText(
      'after',
      `
Loads block page fingerprints, test lists and AS organisations from the sources in the settings into ClickHouse, and the IP databases into
the directory geoip_dir. Workers do the same on a schedule; this command does it now. Readers see the old data or the new, never a part.
A source that cannot be used changes nothing.

Exit status: 0 all are current; 1 one could not be loaded; 2 wrong usage.

  oonipipeline update-assets
  oonipipeline update-assets --only fingerprints_dns --only geoip`,
    )
    .action((options: Options, command: Command) => {
      checkClickHouse(command, options);
      return withExitStatus('update-assets', () => updateAssets(options));
    });
}

async function updateAssets(options: Options): Promise<number> {
  const settings = loadSettings();
  const log = createCommandLogger('update-assets', settings);
  const chosen = ASSETS.filter(asset => options.only?.includes(asset) ?? true);
  const datasets = chosen.filter((asset): asset is DatasetName => asset !== GEOIP);
  const rows: AssetRow[] = [];
  if (datasets.length > 0) {
    const opened = await openClickHouse(options.clickhouse, { settings });
    try {
      const versions = await referenceVersions(opened.clickhouse);
      for (const asset of datasets) {
        const source = sourceOf(settings, asset);
        const version = versions[asset] ?? '';
        if (source === undefined) {
          rows.push({ asset, state: 'off', version, message: `the setting ${DATASETS[asset].setting} is none` });
        } else if (options.dryRun) {
          rows.push({ asset, state: 'would be loaded', version, message: hidePassword(source) });
        } else {
          rows.push(
            await loadReference(opened.clickhouse, asset, source, { now: Date.now(), log }).then(
              ({ changed, rows: count, problems, version: loaded }): AssetRow => ({
                asset,
                state: changed ? 'updated' : 'current',
                version: loaded,
                rows: count,
                leftOut: problems.length,
                message: problems.length > 0 ? `${problems.length} rows left out: ${problems[0]}` : '',
              }),
              (error: unknown): AssetRow => {
                if (!(error instanceof ReferenceDataError)) throw error;
                return { asset, state: 'failed', version, message: hidePasswords(error.message) };
              },
            ),
          );
        }
      }
    } finally {
      await opened.close();
    }
  }
  if (chosen.includes(GEOIP)) rows.push(await updateGeoip(settings, options.dryRun ?? false));
  await printRows(COLUMNS, rows, { ...(options.output && { form: options.output }), none: '' });
  return rows.some(({ state }) => state === 'failed') ? 1 : 0;
}

async function updateGeoip(settings: Settings, dryRun: boolean): Promise<AssetRow> {
  const { geoip_dir: dir } = settings;
  if (dir === '') return { asset: GEOIP, state: 'off', version: '', message: 'the setting geoip_dir is empty' };
  if (dryRun) return { asset: GEOIP, state: 'would be loaded', version: '', message: dir };
  try {
    const { files, fetched } = await fetchIpDatabases(openArchive(settings), dir, {});
    const { version } = openIpMetadata(dir);
    return {
      asset: GEOIP,
      state: fetched > 0 ? 'updated' : 'current',
      version,
      message: `${files} files in ${dir}, ${fetched} new`,
    };
  } catch (error) {
    if (!(error instanceof ArchiveError) && !(error instanceof IpDatabaseError)) throw error;
    return { asset: GEOIP, state: 'failed', version: '', message: hidePasswords(error.message) };
  }
}
