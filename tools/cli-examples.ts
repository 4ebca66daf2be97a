/** A command line and its output on a terminal of 100 columns. A line `…` stands for any lines. */
export interface CliExample {
  readonly line: string;
  readonly output: string;
  /** Exit status; 0 unless given. */
  readonly status?: number;
}

const BUCKET = '--start-at 2023-05-30 --end-at 2023-05-31';
const ARCHIVE = '--archive test/fixtures/archive';
const SIGNAL = 'test/fixtures/archive/raw/20230530/18/US/signal/2023053018_US_signal.n1.0.jsonl.gz';

/**
 * Examples of commands by name, in an order in which each finds the results of those before it. All of them use one ClickHouse, the setting
 * `CLICKHOUSE_URL=embedded:data`. test/integration/cli-examples.test.ts runs them and compares the output.
 */
export const EMBEDDED_EXAMPLES: Readonly<Record<string, CliExample>> = {
  run: {
    line: `oonipipeline run ${ARCHIVE} ${BUCKET} --fingerprints test/fixtures/fingerprints/fingerprints_dns.csv -o human`,
    output: `1 of 1 bucket of test/fixtures/archive done in 9.6 s, into embedded:/srv/ooni/data
1 measurement in 1 file: 1 transformed, 0 skipped, 0 failed, 0 unsupported
  obs_web                           33 rows
  obs_web_ctrl                       0 rows
  obs_http_middlebox                 0 rows
  obs_tunnel                         0 rows
  obs_performance                    0 rows
  verdicts                           1`,
  },
  runs: {
    line: 'oonipipeline runs -o table',
    output: `BUCKET      STAGE         FILTER         STATE      BEGUN             MEASURED  FAILED  ROWS  REASON
2023-05-30  Analysis      ALLCCS-ALLTNS  completed  2026-11-28 02:35         0       0     1
2023-05-30  Observations  ALLCCS-ALLTNS  completed  2026-11-28 02:35         1       0    33`,
  },
  failures: {
    line: 'oonipipeline failures -o table',
    output: 'oonipipeline failures: the ledger has no such failure',
  },
  sql: {
    line: 'oonipipeline sql "SELECT measurement_uid, test_name, outcome FROM analysis_web_measurement" -o table',
    output: `┌──────────────────────────────────────────┬───────────┬─────────┐
│ measurement_uid                          │ test_name │ outcome │
├──────────────────────────────────────────┼───────────┼─────────┤
│ 0120230530d1ede6090eb41dc281857d64d87b1f │ signal    │ unknown │
└──────────────────────────────────────────┴───────────┴─────────┘
1 row`,
  },
  explain: {
    line: 'oonipipeline explain 0120230530d1ede6090eb41dc281857d64d87b1f',
    output: `0120230530d1ede6090eb41dc281857d64d87b1f
  signal 0.2.2 of no input
  2023-05-30 18:08:35.000 UTC from US, AS7922, resolver AS0, by ooniprobe-android-unattended 3.8.1

VERDICT, by version 3 of the rules, fingerprints 2026-11-28-66acd7b5c344
  layer  blocked     down       ok  rule
  dns       0.00     0.00     1.00  service_answer_proven
                                    the address of a messenger’s endpoint proved itself with a valid
                                    certificate (rows 1, 3, 7, 19, 23)
  tcp       0.00     0.00     1.00  connect_ok
                                    connected (rows 1, 3, 7, 19, 23)
…
OBSERVATIONS
  row 1: storage.signal.org at 142.251.46.211 port 443
      A by system answered 142.251.46.211; connected; handshake with a valid certificate
…`,
  },
  verify: {
    line: `oonipipeline verify ${ARCHIVE} ${BUCKET} -o human`,
    output: '1 bucket, 1 object, 1 measurement: nothing is missing or surplus',
  },
  sync: {
    line: `oonipipeline sync ${ARCHIVE} ${BUCKET} --output-dir data/objects -o human`,
    output: `…
1 object, 12 kB, downloaded to data/objects; 0 were there`,
  },
  migrate: {
    line: 'oonipipeline migrate --dry-run',
    output: 'embedded:/srv/ooni/data is up to date.',
  },
  'check-duplicates': {
    line: 'oonipipeline check-duplicates -o table',
    output: 'oonipipeline check-duplicates: no duplicates found',
  },
  checkdb: {
    line: 'oonipipeline checkdb --no-print-create --create-tables',
    output: 'the tables of embedded:/srv/ooni/data exist',
  },
  'update-assets': {
    line: 'oonipipeline update-assets --only fingerprints_dns -o table',
    output: `ASSET             STATE    VERSION                  ROWS  MESSAGE
fingerprints_dns  current  2026-11-28-66acd7b5c344   226`,
  },
  geoip: {
    line: 'ARCHIVE_URL=archive oonipipeline geoip --dir data/geoip',
    output: `20240105-ip2country_as.mmdb  0.0 MB
data/geoip: 1 file, 1 of them new. Version: 20240105-ip2country_as.mmdb and 0 more (99dfd1bb3bb1)`,
  },
  transform: {
    line: `oonipipeline transform ${SIGNAL} | grep -o '"measurement_uid":"[^"]*","test_name":"signal","status":"ok"'`,
    output: '"measurement_uid":"0120230530d1ede6090eb41dc281857d64d87b1f","test_name":"signal","status":"ok"',
  },
  completion: {
    line: 'oonipipeline completion bash | head -1',
    output: '# Completion of oonipipeline for bash: source <(oonipipeline completion bash)',
  },
  config: {
    line: 'oonipipeline config -o table --changed',
    output: `SETTING         VALUE          SOURCE
clickhouse_url  embedded:data  CLICKHOUSE_URL`,
  },
};

const US_SIGNAL = '--probe-cc US --test-name signal';

/** Examples with the servers of `npm start -- --no-kubernetes`, in the order in which test/stack/quick-start.test.ts runs them. */
export const SERVER_EXAMPLES: Readonly<Record<string, CliExample>> = {
  schedule: {
    line: `oonipipeline schedule ${US_SIGNAL}`,
    output: `oonipipeline schedule: uses Temporal at 127.0.0.1:7233, namespace default (there is no Kubernetes context)
ooni/schedule/_command/us-signal is created: each day, US; signal; observations and analysis
Next: 2026-11-28, at 2026-11-29 02:00 UTC`,
  },
  backfill: {
    line: `oonipipeline backfill --create-tables ${US_SIGNAL} --workflow-name observations --start-at 2024-01-01 --end-at 2024-02-01`,
    output: `oonipipeline backfill: uses Temporal at 127.0.0.1:7233, namespace default (there is no Kubernetes context)
the tables of http://127.0.0.1:8123/default exist
ooni/backfill/_command/us-signal-20261128-064813 is started: 31 days of upload, 2024-01-01 (included) to 2024-02-01 (not included); US; signal; observations`,
  },
  startworkers: {
    line: 'oonipipeline startworkers',
    output: `…
[07:24:41] INFO (worker): working for Temporal at 127.0.0.1:7233
…
oonipipeline startworkers: stopping; the work has 96 s left. Ctrl-C again ends it at once.
[07:24:43] INFO (worker): SIGINT: taking no more tasks; running tasks have 96 s to finish
oonipipeline startworkers: stopped`,
  },
  status: {
    line: 'oonipipeline status -o human',
    output: `Installation ooni  2026-11-28 06:48:59 UTC

Temporal    127.0.0.1:7233  answers
  1 worker, 0 activities running; backlog: 0 workflows, 0 activities; 0 active runs

Schedules
  FILTER         LAST      NEXT                            LATE  MISSING
  ALLCCS-ALLTNS  none yet  2026-11-28 at 2026-11-29 02:00  no    0
  us-signal      none yet  2026-11-28 at 2026-11-29 02:00  no    0

Backfills  none

ClickHouse  http://127.0.0.1:8123/default  answers
  1 measurement in 1 object of 1 bucket, 0 failed
  rows: obs_web 33, obs_web_ctrl 0, obs_http_middlebox 0, obs_tunnel 0, obs_performance 0
  runs: 1 completed`,
  },
  'clear-schedules': {
    line: `oonipipeline clear-schedules ${US_SIGNAL} --yes`,
    output: `oonipipeline clear-schedules: uses Temporal at 127.0.0.1:7233, namespace default (there is no Kubernetes context)
ooni/schedule/_command/us-signal is deleted`,
  },
};

/** The backfill that the example of `kubectl ooni backfill create` creates, whose name has the time. */
export const EXAMPLE_BACKFILL = 'us-signal-20261128-065007';

/** Examples against the cluster of `npm start`, in the order in which test/stack/commands.test.ts runs them. */
export const CLUSTER_EXAMPLES: Readonly<Record<string, CliExample>> = {
  'backfill create': {
    line: `kubectl ooni backfill create --start-at 2024-01-01 --end-at 2024-02-01 ${US_SIGNAL}`,
    output: `backfill/${EXAMPLE_BACKFILL} is created`,
  },
  'backfill watch': {
    line: `kubectl ooni backfill watch ${EXAMPLE_BACKFILL}`,
    output: `████████████████████████ 31/31 buckets, 1 failed, 0 active, 14 measurements, Failed
2024-01-30: TooManyFailures: 12 of 12 measurements of 2024-01-30 failed, 100.0 %; max_failed_share allows 10.0 %. pipeline_failures lists them with their reasons.
backfill/${EXAMPLE_BACKFILL}: Failed`,
    status: 1,
  },
  status: {
    line: 'kubectl ooni status -o human',
    output: `Cluster https://127.0.0.1:6443  2026-11-28 06:50:15 UTC
Operator ooni-system/ooni-operator  1/1 available

Temporal    answers the operator
ClickHouse  no run waits for it, and none is active
Archive     no run waits for it, and none is active

Worker pools
  NAME  READY  BACKLOG  TASKS                  STATUS
  main    1/1        0  Workflows, Activities  Available

Schedules
  NAME   CRON       STATUS     LAST      NEXT             LAG  MISSING
  daily  0 2 * * *  Scheduled  none yet  2026-11-28  none due  none due

Backfills
  NAME                       PHASE     PROGRESS          FAILED  MEASURED  ETA  BLOCKED BY
  us-signal-20261128-065007  Failed    ██████████ 31/31       1        14
  hours                      Complete  ██████████ 6/6         0         0
  example                    Complete  ██████████ 78/78       0        23

Last failures
  BACKFILL                   BUCKET      REASON           MESSAGE
  us-signal-20261128-065007  2024-01-30  TooManyFailures  12 of 12 measurements of 2024-01-30 faile…

Not as desired
  backfill/us-signal-20261128-065007: BucketsFailed: 2 of 31 buckets succeeded, 1 failed, 28 were
    skipped (28 Empty). Increase spec.attempt to process the failed ones again.
…
In the Temporal UI
  us-signal-20261128-065007
http://127.0.0.1:8233/namespaces/default/workflows/ooni%2Fbackfill%2Fdefault%2Fus-signal-20261128-065007%2F3821c2b0-c62e-414c-8acc-d825e06c47e0`,
    status: 1,
  },
  'backfill grid': {
    line: `kubectl ooni backfill grid ${EXAMPLE_BACKFILL}`,
    output: `backfill/${EXAMPLE_BACKFILL}: 31 days of upload from 2024-01-01 to 2024-02-01, not included
         1       5         10        15        20        25        30
2024-01  · · · · · · · · · · · · · · · · · · · · · · · · · · · · ■ x ■   2/31 1 failed

■ done   x failed   · no run`,
    status: 1,
  },
  'backfill retry': {
    line: `kubectl ooni backfill retry ${EXAMPLE_BACKFILL}`,
    output: `backfill/${EXAMPLE_BACKFILL} tries its failed buckets again`,
  },
  'schedule suspend': {
    line: 'kubectl ooni schedule suspend daily',
    output: 'pipelineschedule/daily is suspended',
  },
  'schedule resume': {
    line: 'kubectl ooni schedule resume daily',
    output: 'pipelineschedule/daily fires again',
  },
  'schedule run': {
    line: 'kubectl ooni schedule run daily --bucket 2024-01-29',
    output: 'backfill/all-20261128-070114 is created for 2024-01-29',
  },
  logs: {
    line: "kubectl ooni logs main --tail 1000 | grep -o 'bucket 2024-01-29 [a-z]*' | tail -1",
    output: 'bucket 2024-01-29 completed',
  },
  'pool drain': {
    line: 'kubectl ooni pool drain main --yes',
    output: 'workerpool/main is drained: its pods stop',
  },
  'backfill pause': {
    line: 'kubectl ooni backfill pause again',
    output: 'backfill/again is paused; active runs finish',
  },
  'backfill resume': {
    line: 'kubectl ooni backfill resume again',
    output: 'backfill/again continues',
  },
  'backfill cancel': {
    line: 'kubectl ooni backfill cancel again --yes',
    output: 'backfill/again is being cancelled',
  },
  'pool resume': {
    line: 'kubectl ooni pool resume main',
    output: 'workerpool/main has its former size again',
  },
  'pool pause': {
    line: 'kubectl ooni pool pause elastic',
    output: 'workerpool/elastic keeps its number of pods',
  },
  doctor: {
    line: 'kubectl ooni doctor -o human',
    output: `ok    API server             answers; Kubernetes v1.33.4
ok    CRD pipelineschedules  serves v1alpha1
ok    CRD backfills          serves v1alpha1
ok    CRD workerpools        serves v1alpha1
ok    your permissions       you may use the kinds in default
ok    clock                  agrees with that of the API server
ok    operator               ooni-system/ooni-operator is available
ok    leader                 vm_f23bbf52-a232-465c-a23b-ef202f855e7b leads
ok    image                  ooni-pipeline:dev
ok    RBAC of the operator   ooni-system/ooni-operator has all permissions in all namespaces
ok    Temporal               127.0.0.1:7233 has the namespace default and the search attributes
ok    ClickHouse schema      http://127.0.0.1:8123/default has the tables of this version
ok    ClickHouse grants      the user may read, write and migrate
ok    archive                /srv/ooni/archive answers

14 ok, 0 warnings, 0 failed, 0 unknown`,
  },
  report: {
    line: 'kubectl ooni report',
    output: 'ooni-report-2026-11-28T070137.json.gz is written; look at it before you pass it on',
  },
};
