import { Command, Option } from 'commander';
import { normaliseTestName } from '../../pipeline/filter.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { PIPELINE_FAILURES, PIPELINE_FILES } from '../../pipeline/tables/ledger-tables.ts';
import { openClickHouse } from '../clickhouse.ts';
import { withExitStatus } from '../exit-status.ts';
import { EXIT_STATUS } from '../help.ts';
import { bucketCondition, checkBuckets, type LedgerOptions, withBucketOptions } from '../ledger-filters.ts';
import { notEmpty } from '../names.ts';
import {
  type CommonOptions,
  checkClickHouse,
  clickhouseOption,
  tableOption,
  testNameOption,
  wholeNumber,
} from '../options.ts';
import { type Column, printRows, type TableForm } from '../table.ts';

interface Options extends CommonOptions, LedgerOptions {
  readonly testName: readonly string[];
  readonly class?: string;
  readonly uid?: string;
  readonly allRuns?: boolean;
  readonly count?: boolean;
  readonly output?: TableForm;
}

/** A record of a failure, as `-o json` prints it. */
export interface FailureRow {
  readonly bucket: string;
  readonly key: string;
  /** Line in the object, from 1; 0: the object as a whole. */
  readonly line: number;
  readonly measurement_uid: string;
  readonly test_name: string;
  readonly stage: string;
  readonly class: string;
  readonly message: string;
  readonly generation: number;
  readonly recorded: string;
}

/** Number of failures of one class. */
interface ClassRow {
  readonly class: string;
  readonly stage: string;
  readonly failures: number;
  readonly buckets: number;
  readonly example: string;
}

const COLUMNS: readonly Column<FailureRow>[] = [
  { title: 'BUCKET', text: row => row.bucket },
  // The uid of a measurement has the name of its test.
  { title: 'TEST', text: row => row.test_name, optional: true },
  { title: 'CLASS', text: row => row.class, paint: (_, { bad }) => bad },
  {
    title: 'MEASUREMENT',
    text: row => row.measurement_uid || `${row.key.slice(row.key.lastIndexOf('/') + 1)}:${row.line}`,
  },
  { title: 'MESSAGE', text: row => row.message, flexible: true },
];

const COUNT_COLUMNS: readonly Column<ClassRow>[] = [
  { title: 'CLASS', text: row => row.class, paint: (_, { bad }) => bad },
  { title: 'STAGE', text: row => row.stage },
  { title: 'FAILURES', text: row => row.failures.toLocaleString('en'), right: true },
  { title: 'BUCKETS', text: row => row.buckets.toLocaleString('en'), right: true },
  { title: 'EXAMPLE', text: row => row.example, flexible: true },
];

/** Creates `oonipipeline failures`, which shows what did not become rows, and why. */
export function failuresCommand(): Command {
  return withBucketOptions(new Command('failures'))
    .addOption(testNameOption())
    .option('--class <name>', 'only failures of this class', notEmpty)
    .option('--uid <uid>', 'only failures of this measurement', notEmpty)
    .option('--count', 'count failures by class instead of listing them')
    .option('--all-runs', 'also failures of runs that a later run of the same object has replaced')
    .addOption(new Option('--limit <n>', 'rows at most').default(50).argParser(wholeNumber(1, 100_000)))
    .addOption(clickhouseOption())
    .addOption(tableOption())
    .addHelpText(
      'after',
      `
Shows which measurements failed and why, newest bucket first, from the table pipeline_failures. Of each object, the latest run that read
it counts. A key and a line stand for a measurement whose uid could not be read.

${EXIT_STATUS} No failure is not an error.

  oonipipeline failures --count
  oonipipeline failures --bucket 2024-01-01 --test-name web_connectivity -o json`,
    )
    .action((options: Options, self: Command) => {
      checkClickHouse(self, options);
      checkBuckets(self, options);
      return withExitStatus('failures', async () => {
        const { clickhouse, close } = await openClickHouse(options.clickhouse);
        const print = {
          ...(options.output && { form: options.output }),
          none: 'oonipipeline failures: the ledger has no such failure',
        };
        try {
          if (options.count) await printRows(COUNT_COLUMNS, await countFailures(clickhouse, options), print);
          else await printRows(COLUMNS, await selectFailures(clickhouse, options), print);
        } finally {
          await close();
        }
        return 0;
      });
    });
}

function whereOf(options: Options): { readonly sql: string; readonly params: Record<string, unknown> } {
  const buckets = bucketCondition(options);
  const conditions = [
    buckets.sql.replaceAll('bucket ', 'failures.bucket '),
    ...(options.testName.length > 0 ? ["replaceAll(lower(test_name), '_', '') IN {tests:Array(String)}"] : []),
    ...(options.class === undefined ? [] : ['class = {class:String}']),
    ...(options.uid === undefined ? [] : ['measurement_uid = {uid:String}']),
    // The join gives 0 for an object without a record of a run that read it.
    ...(options.allRuns ? [] : ['failures.generation >= latest.generation']),
  ];
  return {
    sql: conditions.join(' AND '),
    params: {
      ...buckets.params,
      tests: options.testName.map(normaliseTestName),
      class: options.class ?? '',
      uid: options.uid ?? '',
    },
  };
}

const FROM = `${PIPELINE_FAILURES.name} AS failures FINAL
  LEFT JOIN (SELECT bucket, key, max(generation) AS generation FROM ${PIPELINE_FILES.name} GROUP BY bucket, key) AS latest
  ON latest.bucket = failures.bucket AND latest.key = failures.key`;

/** Selects failures, newest bucket first. Throws TableErrors. */
async function selectFailures(clickhouse: ClickHouse, options: Options): Promise<FailureRow[]> {
  const { sql, params } = whereOf(options);
  return clickhouse.select<FailureRow>(
    `SELECT failures.bucket AS bucket, failures.key AS key, line, measurement_uid, test_name, stage, class, message,
       failures.generation AS generation, formatDateTime(recorded_at, '%Y-%m-%dT%H:%i:%SZ') AS recorded
     FROM ${FROM} WHERE ${sql}
     ORDER BY bucket DESC, key, line LIMIT {limit:UInt32}`,
    { params: { ...params, limit: options.limit } },
  );
}

async function countFailures(clickhouse: ClickHouse, options: Options): Promise<ClassRow[]> {
  const { sql, params } = whereOf(options);
  return clickhouse.select<ClassRow>(
    `SELECT class, stage, count() AS failures, uniqExact(failures.bucket) AS buckets, any(message) AS example
     FROM ${FROM} WHERE ${sql} GROUP BY class, stage ORDER BY failures DESC, class LIMIT {limit:UInt32}`,
    { params: { ...params, limit: options.limit } },
  );
}
