import { Command, Option } from 'commander';
import { findBuckets } from '../../pipeline/archive/buckets.ts';
import { openArchive } from '../../pipeline/archive/open.ts';
import { filterId, normaliseFilter } from '../../pipeline/filter.ts';
import { counted, type Verification, verifyBucket } from '../../pipeline/runs/verify.ts';
import { auditedBuckets } from '../../pipeline/tables/audit.ts';
import { TableSchemaError } from '../../pipeline/tables/errors.ts';
import { attempt } from '../attempt.ts';
import { openClickHouse } from '../clickhouse.ts';
import {
  archiveOption,
  bucket,
  type CommonOptions,
  checkClickHouse,
  clickhouseOption,
  outputOption,
  probeCCOption,
  settingsWith,
  testNameOption,
} from '../options.ts';

interface Options extends CommonOptions {
  readonly bucket?: readonly string[];
  readonly probeCc: readonly string[];
  readonly testName: readonly string[];
  readonly output: 'human' | 'json';
}

/** Problems of one bucket that a person is shown. */
const SHOWN = 20;

/** `oonipipeline verify`: whether anything was lost between archive and tables. */
export function verifyCommand(): Command {
  return new Command('verify')
    .description('Check the ledger against the archive and the tables: is anything missing, or too much?')
    .addOption(
      new Option(
        '--bucket <bucket>',
        'upload day YYYY-MM-DD or hour YYYY-MM-DDTHH; may be given more than once',
      ).argParser((text: string, before: readonly string[] = []) => [...before, bucket(text)]),
    )
    .addOption(archiveOption())
    .addOption(clickhouseOption())
    .addOption(probeCCOption())
    .addOption(testNameOption())
    .addOption(outputOption(['human', 'json']))
    .addHelpText(
      'after',
      `
Filter and bucket are those of the run to be checked. Without --bucket every bucket is checked that was run under the filter and,
where the archive is a directory, that it has files of.

Every object of the bucket must have been read by the newest completed run, as it is now; the counts must add up, of each file and
of the run; what failed must be recorded; and the tables must hold the rows that were counted. Where they do not, the objects are
read again to tell which measurements lack rows. Nothing is written. docs/cli.md says what each problem means.

Exit status: 0 nothing is off; 1 something is, or could not be checked; 2 wrong usage.

  oonipipeline verify --archive test/fixtures/archive --clickhouse embedded:data
  oonipipeline verify --bucket 2024-01-01 --probe-cc IT -o json | jq '.buckets[].problems[]'`,
    )
    .action((options: Options, command: Command) => {
      checkClickHouse(command, options);
      return attempt('verify', () => verify(options));
    });
}

async function verify(options: Options): Promise<number> {
  const given = settingsWith(options);
  const archive = openArchive(given);
  const { clickhouse, close } = await openClickHouse(options.clickhouse, { settings: given });
  try {
    const filter = normaliseFilter({ probeCC: options.probeCc, testNames: options.testName });
    const filterID = filterId(filter);
    let buckets = options.bucket;
    if (!buckets) {
      const found = given.archive_url.includes('://') ? [] : await findBuckets(archive, filter, 'Day');
      const days = (await auditedBuckets(clickhouse, filterID)).map(each => each.slice(0, 10));
      buckets = [...new Set([...found, ...days])].sort();
    }
    const tools = { archive, clickhouse, maxMeasurementBytes: given.max_measurement_bytes };
    const results: Verification[] = [];
    for (const each of buckets) {
      const verified = await verifyBucket(tools, { bucket: each, filter, filterID });
      if (options.output === 'human') for (const result of verified) showProblems(result);
      results.push(...verified);
    }
    const ok = results.length > 0 && results.every(({ problems }) => problems.length === 0);
    if (options.output === 'json') console.log(JSON.stringify({ ok, buckets: results }));
    else console.log(conclusion(results));
    return ok ? 0 : 1;
  } catch (error) {
    if (!(error instanceof TableSchemaError)) throw error;
    throw new TableSchemaError(`${error.message}; oonipipeline run makes the tables, and brings them up to date`);
  } finally {
    await close();
  }
}

function showProblems({ bucket: name, filter, problems }: Verification): void {
  if (problems.length === 0) return;
  console.log(`${name} ${filter}`);
  for (const { problem, key, table, message } of problems.slice(0, SHOWN)) {
    console.log(
      `  ${problem}  ${[key, table]
        .filter(Boolean)
        .map(each => `${each}: `)
        .join('')}${message}`,
    );
  }
  if (problems.length > SHOWN) console.log(`  and ${problems.length - SHOWN} more; -o json has them all`);
}

function conclusion(results: readonly Verification[]): string {
  if (results.length === 0)
    return 'There is nothing to check: no bucket was run under this filter, and none was found in the archive.';
  const sum = (count: (result: Verification) => number, what: string) =>
    counted(
      results.reduce((total, result) => total + count(result), 0),
      what,
    );
  const what = [
    counted(results.length, 'bucket'),
    sum(({ files }) => files, 'object'),
    sum(({ measurements }) => measurements, 'measurement'),
  ].join(', ');
  const off = results.filter(({ problems }) => problems.length > 0).length;
  if (off === 0) return `${what}: nothing is missing, nothing is too much`;
  return `${what}: ${sum(({ problems }) => problems.length, 'problem')} in ${counted(off, 'bucket')}`;
}
