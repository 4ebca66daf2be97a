/** A command line and its output on a terminal of 100 columns. A line `…` stands for any lines. */
export interface CliExample {
  readonly args: readonly string[];
  readonly output: string;
}

const BUCKET = ['--start-at', '2023-05-30', '--end-at', '2023-05-31'];
const ARCHIVE = ['--archive', 'test/fixtures/archive'];

/**
 * Examples of commands by name, in an order in which each finds the results of those before it. All of them use one ClickHouse, the setting
 * `CLICKHOUSE_URL=embedded:data`. test/integration/cli-examples.test.ts runs them and compares the output.
 */
export const CLI_EXAMPLES: Readonly<Record<string, CliExample>> = {
  run: {
    args: [
      'run',
      ...ARCHIVE,
      ...BUCKET,
      '--fingerprints',
      'test/fixtures/fingerprints/fingerprints_dns.csv',
      '-o',
      'human',
    ],
    output: `1 of 1 bucket of test/fixtures/archive done in 9.6 s, into embedded:/srv/ooni/data
1 measurement in 1 file: 1 transformed, 0 skipped, 0 failed, 0 unsupported
  obs_web                           33 rows
  obs_web_ctrl                       0 rows
  obs_http_middlebox                 0 rows
  verdicts                           1`,
  },
  runs: {
    args: ['runs', '-o', 'table'],
    output: `BUCKET      STAGE         FILTER         STATE      BEGUN             MEASURED  FAILED  ROWS  REASON
2023-05-30  Analysis      ALLCCS-ALLTNS  completed  2026-11-28 02:35         0       0     1
2023-05-30  Observations  ALLCCS-ALLTNS  completed  2026-11-28 02:35         1       0    33`,
  },
  failures: {
    args: ['failures', '-o', 'table'],
    output: 'oonipipeline failures: the ledger has no such failure',
  },
  sql: {
    args: ['sql', 'SELECT measurement_uid, test_name, outcome FROM analysis_web_measurement', '-o', 'table'],
    output: `┌──────────────────────────────────────────┬───────────┬─────────┐
│ measurement_uid                          │ test_name │ outcome │
├──────────────────────────────────────────┼───────────┼─────────┤
│ 0120230530d1ede6090eb41dc281857d64d87b1f │ signal    │ blocked │
└──────────────────────────────────────────┴───────────┴─────────┘
1 row`,
  },
  explain: {
    args: ['explain', '0120230530d1ede6090eb41dc281857d64d87b1f'],
    output: `0120230530d1ede6090eb41dc281857d64d87b1f
  signal 0.2.2 of no input
  2023-05-30 18:08:35.000 UTC from US, AS7922, resolver AS0, by ooniprobe-android-unattended 3.8.1

VERDICT, by version 3 of the rules, fingerprints 2026-11-28-66acd7b5c344
  layer  blocked     down       ok  rule
  dns       0.95     0.50     0.00  bogon_not_in_ctrl
                                    a bogon was answered, and the control saw none of the answers
                                    (row 25)
  tcp       0.00     0.00     1.00  connect_ok
                                    connected (rows 1, 3, 7, 19, 23)
…
OBSERVATIONS
  row 1: storage.signal.org at 142.251.46.211 port 443
      A by system answered 142.251.46.211; connected; handshake with a valid certificate
…`,
  },
  verify: {
    args: ['verify', ...ARCHIVE, ...BUCKET, '-o', 'human'],
    output: '1 bucket, 1 object, 1 measurement: nothing is missing, nothing is too much',
  },
  sync: {
    args: ['sync', ...ARCHIVE, ...BUCKET, '--output-dir', 'data/objects', '-o', 'human'],
    output: `…
1 object, 12 kB, downloaded to data/objects; 0 were there`,
  },
  migrate: {
    args: ['migrate', '--dry-run'],
    output: 'embedded:/srv/ooni/data is up to date.',
  },
  'check-duplicates': {
    args: ['check-duplicates', '-o', 'table'],
    output: 'oonipipeline check-duplicates: no duplicates found',
  },
  config: {
    args: ['config', '-o', 'table', '--changed'],
    output: `SETTING         VALUE          SOURCE
clickhouse_url  embedded:data  CLICKHOUSE_URL`,
  },
};
