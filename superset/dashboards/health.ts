import { bars, groups, number, numberRows, ranking, records } from '../charts.ts';
import { ANALYSIS, FAILURES, FILES, RUNS } from '../datasets.ts';
import { BUCKET_TIME, grain, runColumn } from '../filters.ts';
import type { Dashboard } from '../model.ts';

const OBSERVATIONS_STAGE = "stage = 'Observations'";

export const HEALTH: Dashboard = {
  slug: 'ooni-health',
  title: 'OONI: Pipeline health',
  description: 'Which buckets the pipeline has processed, what failed, and how long it took.',
  filters: [
    BUCKET_TIME,
    grain(RUNS),
    runColumn('Stage', 'stage', 'Observations or Analysis; empty: both.'),
    runColumn('State', 'state', 'State of the latest run of a bucket; empty: all.'),
    runColumn('Backfill', 'backfill', 'Backfill that started the run; empty: all runs.'),
  ],
  rows: [
    [
      {
        width: 12,
        height: 12,
        content: {
          markdown: `The ledger records each run: a **bucket** (an upload day or hour) through a **stage**. This page shows the latest run of each bucket, stage and filter.
Every measurement that was read is transformed, skipped, unsupported or failed; the counts add up. A failed one is listed below with the reason.`,
        },
      },
    ],
    ...numberRows(
      number(
        {
          title: 'Latest complete bucket',
          description: 'The latest bucket with complete observations.',
          dataset: RUNS,
        },
        'last_bucket',
        {
          where: `${OBSERVATIONS_STAGE} AND state = 'completed'`,
        },
      ),
      number({ title: 'Buckets', description: 'Buckets with a run.', dataset: RUNS }, 'n_buckets'),
      number({ title: 'Failed runs', description: 'Latest runs that failed.', dataset: RUNS }, 'n_runs', {
        where: "state = 'failed'",
      }),
      number(
        { title: 'Runs in progress', description: 'Latest runs that have started and not ended.', dataset: RUNS },
        'n_runs',
        {
          where: "state IN ('started', 'inserted')",
        },
      ),
      number(
        { title: 'Measurements read', description: 'Measurements that the latest runs have read.', dataset: RUNS },
        'n_read',
        { where: OBSERVATIONS_STAGE },
      ),
      number(
        {
          title: 'Measurements failed',
          description: 'Measurements that did not become rows because of an error.',
          dataset: RUNS,
        },
        'n_failed',
        {
          where: OBSERVATIONS_STAGE,
        },
      ),
    ),
    [
      {
        width: 6,
        height: 42,
        content: bars(
          { title: 'Runs by state', description: 'Latest runs by time of the bucket and state.', dataset: RUNS },
          ['n_runs'],
          { by: 'state' },
        ),
      },
      {
        width: 6,
        height: 42,
        content: bars(
          {
            title: 'Results of reading',
            description: 'Measurements by time of the bucket and what became of them.',
            dataset: RUNS,
          },
          ['n_transformed', 'n_skipped', 'n_unsupported', 'n_failed'],
          { where: OBSERVATIONS_STAGE },
        ),
      },
    ],
    [
      {
        width: 12,
        height: 50,
        content: records(
          {
            title: 'Runs',
            description: 'Latest runs: those that are not complete first, then the latest.',
            dataset: RUNS,
          },
          [
            'bucket',
            'stage',
            'state',
            'filter',
            'read',
            'failed',
            'row_count',
            'seconds',
            'reason',
            'message',
            'backfill',
            'recorded_at',
          ],
          [
            ['unfinished', false],
            ['recorded_at', false],
          ],
          { limit: 100 },
        ),
      },
    ],
    [
      {
        width: 5,
        height: 46,
        content: ranking(
          {
            title: 'Failures by kind',
            description: 'Failed measurements and rows by kind of error.',
            dataset: FAILURES,
          },
          'class',
          'n_failures',
        ),
      },
      {
        width: 7,
        height: 46,
        content: records(
          { title: 'Latest failures', description: 'Where a measurement or row failed, and why.', dataset: FAILURES },
          ['bucket', 'test_name', 'class', 'message', 'key', 'line'],
          [['recorded_at', false]],
          { limit: 100 },
        ),
      },
    ],
    [
      {
        width: 6,
        height: 46,
        content: groups(
          {
            title: 'Verdicts by version',
            description: 'Rules and fingerprints that made the stored verdicts.',
            dataset: ANALYSIS,
          },
          ['analysis_rules_version', 'fingerprints_version'],
          ['n_measurements', 'n_without_ip_metadata', 'last_seen'],
          { columns: { analysis_rules_version: { d3NumberFormat: 'd', showCellBars: false } } },
        ),
      },
      {
        width: 6,
        height: 46,
        content: records(
          {
            title: 'Objects of the archive',
            description: 'Latest record of each object: those with an error or with failed measurements first.',
            dataset: FILES,
          },
          ['bucket', 'key', 'state', 'size', 'read', 'failed', 'message'],
          [
            ['message', false],
            ['failed', false],
          ],
          { limit: 100 },
        ),
      },
    ],
  ],
};
