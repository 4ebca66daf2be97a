import { Command, InvalidArgumentError } from 'commander';
import { openArchive } from '../../pipeline/archive/open.ts';
import { BucketError, granularityOf } from '../../pipeline/bucket.ts';
import { fetchIpDatabases } from '../../pipeline/reference/ip-databases.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { loadSettings, SettingsError } from '../../pipeline/settings.ts';
import { withExitStatus } from '../exit-status.ts';
import { path } from '../names.ts';

interface Options {
  readonly dir?: string;
  readonly since?: string;
}

/** Creates `oonipipeline geoip`, which fetches the IP databases that workers use to look up addresses. */
export function geoipCommand(): Command {
  return new Command('geoip')
    .option('--dir <dir>', 'destination; the setting geoip_dir unless given', path)
    .option(
      '--since <date>',
      'YYYY-MM-DD: only what measurements of that day and later ones need; everything unless given',
      day,
    )
    .addHelpText(
      'after',
      `
Fetches the files that the directory does not have. Run it once a month. A worker reads the directory when it starts, and records
the versions of the files with every run (pipeline_runs.reference_versions).

Exit status: 0 the directory has all files; 1 some are missing, and standard error says why; 2 wrong usage.

  GEOIP_DIR=/var/lib/ooni/geoip oonipipeline geoip --since 2024-01-01`,
    )
    .action((options: Options) =>
      withExitStatus('geoip', () => fetchGeoip(options, process.env, message => console.error(message))),
    );
}

/**
 * Fetches the databases and returns the exit status. `say` prints a line for the user. Throws ArchiveErrors, IpDatabaseError and
 * SettingsError.
 */
export async function fetchGeoip(
  options: Options,
  env: Record<string, string | undefined>,
  say: (message: string) => void,
): Promise<number> {
  const settings = loadSettings(env);
  const dir = options.dir ?? settings.geoip_dir;
  if (dir === '') throw new SettingsError('geoip_dir is empty; set it, or give --dir');
  const { files, fetched } = await fetchIpDatabases(openArchive(settings), dir, {
    ...(options.since && { since: options.since }),
    onFile: (name, bytes) => say(`${name}  ${(bytes / 1e6).toFixed(1)} MB`),
  });
  say(
    `${dir}: ${files} file${files === 1 ? '' : 's'}, ${fetched} of them new. Version: ${openIpMetadata(dir).version}`,
  );
  return 0;
}

function day(text: string): string {
  try {
    if (granularityOf(text) === 'Day') return text;
  } catch (error) {
    if (!(error instanceof BucketError)) throw error;
  }
  throw new InvalidArgumentError('Write a day as YYYY-MM-DD.');
}
