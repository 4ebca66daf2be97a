import { Command, Option } from 'commander';
import type { Archive } from '../../pipeline/archive/archive.ts';
import { findBuckets } from '../../pipeline/archive/find-buckets.ts';
import { listBucket } from '../../pipeline/archive/listing.ts';
import { openArchive } from '../../pipeline/archive/open.ts';
import { bucketsBetween, granularityOf } from '../../pipeline/bucket.ts';
import { counted } from '../../pipeline/counts.ts';
import { type Filter, filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import { auditedBuckets } from '../../pipeline/ledger/audit.ts';
import { type Verification, verifyBucket } from '../../pipeline/runs/verify.ts';
import { TableSchemaError } from '../../pipeline/tables/errors.ts';
import { openClickHouse } from '../clickhouse.ts';
import { withExitStatus } from '../exit-status.ts';
import {
  archiveOption,
  bucket,
  type CommonOptions,
  checkClickHouse,
  checkRange,
  clickhouseOption,
  outputOption,
  probeCCOption,
  settingsWith,
  testNameOption,
  uploadBucket,
  warnUnknownNames,
} from '../options.ts';
import { Output } from '../output.ts';
import { printableLine } from '../printable.ts';

interface Options extends CommonOptions {
  readonly bucket?: readonly string[];
  readonly startAt?: string;
  readonly endAt?: string;
  readonly probeCc: readonly string[];
  readonly testName: readonly string[];
  readonly output: 'human' | 'json';
}

/** Number of problems shown per bucket. */
const SHOWN = 20;

/** Creates `oonipipeline verify`, which checks whether anything was lost between the archive and the tables. */
export function verifyCommand(): Command {
  return new Command('verify')
    .addOption(
      new Option(
        '--bucket <bucket>',
        'upload day YYYY-MM-DD or hour YYYY-MM-DDTHH; may be given more than once',
      ).argParser((text: string, before: readonly string[] = []) => [...new Set([...before, bucket(text)])]),
    )
    .option('--start-at <day>', 'first upload day of a range, YYYY-MM-DD', uploadBucket)
    .option('--end-at <day>', 'end of the range, exclusive', uploadBucket)
    .addOption(archiveOption())
    .addOption(clickhouseOption())
    .addOption(probeCCOption())
    .addOption(testNameOption())
    .addOption(outputOption(['human', 'json']))
    .addHelpText(
      'after',
      `
Filter and bucket are those of the run to be checked. --start-at and --end-at take the days of a range that were run under the filter, or
that the archive has objects of. Without a bucket and a range every bucket is checked that was run under the filter and, where the
archive is a directory, that it has objects of.

The newest completed run must have read every object of the bucket in its present state; the counts of each file and of the run must
add up; every failure must be recorded; and the tables must hold the rows that were counted. If they do not, the objects are read
again to find the measurements that lack rows. Nothing is written. docs/cli.md describes each problem.

Exit status: 0 no problem was found; 1 a problem was found, or something could not be checked; 2 wrong usage.

  oonipipeline verify --archive test/fixtures/archive --clickhouse embedded:data
  oonipipeline verify --start-at 2024-01-01 --end-at 2024-02-01
  oonipipeline verify --bucket 2024-01-01 --probe-cc IT -o json | jq '.buckets[].problems[]'`,
    )
    .action((options: Options, command: Command) => {
      checkClickHouse(command, options);
      checkOptions(command, options);
      warnUnknownNames('verify', options);
      return withExitStatus('verify', () => verify(options));
    });
}

/** Ends the program with status 2 for contradictory options. */
function checkOptions(command: Command, options: Options): void {
  const { bucket: buckets, startAt, endAt } = options;
  if (buckets && (startAt ?? endAt) !== undefined) {
    command.error('error: --bucket names buckets, --start-at and --end-at a range: give one of the two');
  }
  if ([startAt, endAt].some(each => each !== undefined && granularityOf(each) === 'Hour')) {
    command.error('error: a range is of days: write --start-at and --end-at as YYYY-MM-DD');
  }
  checkRange(command, options);
}

async function verify(options: Options): Promise<number> {
  const given = settingsWith(options);
  const archive = openArchive(given);
  const { clickhouse, close } = await openClickHouse(options.clickhouse, { settings: given });
  try {
    const filter = normaliseFilter({ probeCC: options.probeCc, testNames: options.testName });
    const filterID = filterIDOf(filter);
    const audited = (await auditedBuckets(clickhouse, filterID)).map(each => each.slice(0, 10));
    const isLarge = given.archive_url.includes('://');
    const buckets = options.bucket ?? (await bucketsOf(archive, filter, audited, isLarge, options));
    const tools = { archive, clickhouse, maxMeasurementBytes: given.max_measurement_bytes };
    const results: Verification[] = [];
    for (const each of buckets) {
      const verified = await verifyBucket(tools, { bucket: each, filter, filterID });
      if (options.output === 'human') for (const result of verified) showProblems(result);
      results.push(...verified);
    }
    const ok = results.length > 0 && results.every(({ problems }) => problems.length === 0);
    if (options.output === 'json')
      await new Output(process.stdout, 'json').write(`${JSON.stringify({ ok, buckets: results })}\n`);
    else console.log(conclusion(results));
    return ok ? 0 : 1;
  } catch (error) {
    if (!(error instanceof TableSchemaError)) throw error;
    throw new TableSchemaError(`${error.message}; oonipipeline run makes the tables, and brings them up to date`);
  } finally {
    await close();
  }
}

/** Returns the buckets to check, oldest first: those that were run, and those with objects in the archive. */
async function bucketsOf(
  archive: Archive,
  filter: Filter,
  audited: readonly string[],
  isLarge: boolean,
  { startAt, endAt }: Options,
): Promise<string[]> {
  const isInRange = (day: string) => startAt === undefined || endAt === undefined || (startAt <= day && day < endAt);
  const found = new Set(audited.filter(isInRange));
  if (!isLarge) for (const day of (await findBuckets(archive, filter, 'Day')).filter(isInRange)) found.add(day);
  else if (startAt !== undefined && endAt !== undefined) {
    for (const day of bucketsBetween(startAt, endAt, 'Day')) {
      if (!found.has(day) && (await hasObjects(archive, day, filter))) found.add(day);
    }
  }
  return [...found].sort();
}

async function hasObjects(archive: Archive, day: string, filter: Filter): Promise<boolean> {
  for await (const _ of listBucket(archive, day, filter)) return true;
  return false;
}

/** Prints the problems of a bucket: one on the line of the bucket, several below it. */
function showProblems({ bucket: name, filter, problems }: Verification): void {
  const lines = problems.slice(0, SHOWN).map(({ problem, key, table, message }) => {
    const where = [key, table].filter(Boolean).map(each => `${each}: `);
    return `${problem}  ${where.join('')}${message}`;
  });
  if (lines.length === 0) return;
  if (lines.length === 1) {
    console.log(printableLine(`${name} ${filter}  ${lines[0]}`));
    return;
  }
  console.log(printableLine(`${name} ${filter}`));
  for (const line of lines) console.log(printableLine(`  ${line}`));
  if (problems.length > SHOWN) console.log(`  and ${problems.length - SHOWN} more; -o json lists all`);
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
  if (off === 0) return `${what}: nothing is missing or surplus`;
  return `${what}: ${sum(({ problems }) => problems.length, 'problem')} in ${counted(off, 'bucket')}`;
}
