import { Command, Option } from 'commander';
import { RUN_STATES, type RunStage, type RunState } from '../../pipeline/ledger/ledger.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { PIPELINE_RUNS } from '../../pipeline/tables/ledger-tables.ts';
import { openClickHouse } from '../clickhouse.ts';
import type { Palette } from '../colour.ts';
import { withExitStatus } from '../exit-status.ts';
import { EXIT_STATUS } from '../help.ts';
import { bucketCondition, checkBuckets, filterOf, type LedgerOptions, withBucketOptions } from '../ledger-filters.ts';
import {
  type CommonOptions,
  checkClickHouse,
  clickhouseOption,
  probeCCOption,
  tableOption,
  testNameOption,
  warnUnknownNames,
  wholeNumber,
} from '../options.ts';
import { type Column, printRows, type TableForm } from '../table.ts';

interface Options extends CommonOptions, LedgerOptions {
  readonly probeCc: readonly string[];
  readonly testName: readonly string[];
  readonly stage?: RunStage;
  readonly state?: RunState;
  readonly output?: TableForm;
}

/** A run's stage of the ledger, as `-o json` prints it. */
export interface RunRow {
  readonly bucket: string;
  readonly stage: RunStage;
  readonly filter: string;
  readonly state: RunState;
  /** Identifies the run: its start in milliseconds since 1970. */
  readonly generation: number;
  readonly files: number;
  /** Compressed bytes. */
  readonly bytes: number;
  readonly measurements: number;
  readonly failed: number;
  /** Rows in the tables. */
  readonly rows: number;
  readonly reason: string;
  readonly message: string;
  readonly workflow: string;
  readonly version: string;
  /** ISO 8601, by ClickHouse's clock: times of the first and the latest record. */
  readonly begun: string;
  readonly recorded: string;
}

const n = (value: number) => value.toLocaleString('en');
const minute = (time: string) => time.slice(0, 16).replace('T', ' ');

/** Colour of a state. */
function stateColour(state: string, palette: Palette): (text: string) => string {
  if (state === 'completed') return palette.good;
  if (state === 'failed') return palette.bad;
  return state === 'cancelled' ? palette.doubtful : palette.active;
}

const COLUMNS: readonly Column<RunRow>[] = [
  { title: 'BUCKET', text: row => row.bucket },
  { title: 'STAGE', text: row => row.stage },
  { title: 'FILTER', text: row => row.filter },
  { title: 'STATE', text: row => row.state, paint: (row, palette) => stateColour(row.state, palette) },
  { title: 'BEGUN', text: row => minute(row.begun), optional: true },
  { title: 'MEASURED', text: row => n(row.measurements), right: true },
  {
    title: 'FAILED',
    text: row => n(row.failed),
    right: true,
    paint: (row, { bad }) => (row.failed > 0 ? bad : text => text),
  },
  { title: 'ROWS', text: row => n(row.rows), right: true },
  { title: 'REASON', text: row => (row.reason ? `${row.reason}: ${row.message}` : ''), flexible: true },
];

/** Creates `oonipipeline runs`, which shows the runs of the ledger. */
export function runsCommand(): Command {
  const command = new Command('runs');
  return withBucketOptions(command)
    .addOption(probeCCOption())
    .addOption(testNameOption())
    .addOption(new Option('--stage <stage>', 'only this stage').choices(['Observations', 'Analysis']))
    .addOption(new Option('--state <state>', 'only runs in this state').choices(RUN_STATES))
    .addOption(new Option('--limit <n>', 'rows at most, newest first').default(50).argParser(wholeNumber(1, 100_000)))
    .addOption(clickhouseOption())
    .addOption(tableOption())
    .addHelpText(
      'after',
      `
Shows which run did what with a bucket, newest first, from the table pipeline_runs. --probe-cc and --test-name select the runs under
exactly this filter. started: the run is active, or its process was killed;
inserted: its rows are in the tables, and older ones may remain.

${EXIT_STATUS} No run is not an error.

  oonipipeline runs --bucket 2024-01-01
  oonipipeline runs --state failed --start-at 2024-01-01 --end-at 2024-02-01 -o json | jq .message`,
    )
    .action((options: Options, self: Command) => {
      checkClickHouse(self, options);
      checkBuckets(self, options);
      warnUnknownNames('runs', options);
      return withExitStatus('runs', async () => {
        const { clickhouse, close } = await openClickHouse(options.clickhouse);
        try {
          const rows = await selectRuns(clickhouse, options);
          await printRows(COLUMNS, rows, {
            ...(options.output && { form: options.output }),
            none: 'oonipipeline runs: the ledger has no such run',
          });
        } finally {
          await close();
        }
        return 0;
      });
    });
}

/** Selects runs of the ledger, newest first. Throws TableErrors. */
async function selectRuns(clickhouse: ClickHouse, options: Omit<Options, 'output'>): Promise<RunRow[]> {
  const filter = filterOf(options);
  const buckets = bucketCondition(options);
  const conditions = [
    buckets.sql,
    ...(filter === undefined ? [] : ['filter = {filter:String}']),
    ...(options.stage ? ['stage = {stage:String}'] : []),
    ...(options.state ? ['state = {state:String}'] : []),
  ];
  return clickhouse.select<RunRow>(
    `SELECT bucket, stage, filter, state, generation, files, bytes, read AS measurements, failed,
       arraySum(mapValues(rows_stored)) AS rows, reason, message, workflow_id AS workflow, code_version AS version,
       formatDateTime(opened_at, '%Y-%m-%dT%H:%i:%SZ') AS begun, formatDateTime(recorded_at, '%Y-%m-%dT%H:%i:%SZ') AS recorded
     FROM ${PIPELINE_RUNS.name} FINAL
     WHERE ${conditions.join(' AND ')}
     ORDER BY opened_at DESC, bucket DESC, stage
     LIMIT {limit:UInt32}`,
    {
      params: {
        ...buckets.params,
        filter: filter ?? '',
        stage: options.stage ?? '',
        state: options.state ?? '',
        limit: options.limit,
      },
    },
  );
}
