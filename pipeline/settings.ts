import { existsSync, readFileSync } from 'node:fs';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { hidePassword } from './hide-password.ts';
import { nearestName } from './nearest-name.ts';
import { inWords } from './validation-words.ts';

/** A setting with an unusable value. The message names the key, the value and its source. */
export class SettingsError extends Error {
  override name = 'SettingsError';
}

interface Meta {
  description: string;
  /** The value is never printed or logged. */
  secret?: boolean;
}

// `meta` is the last call, because `default` wraps the schema and hides the metadata of the inner one.
const text = (description: string, value: string) => z.string().default(value).meta({ description });
const secret = (description: string, value = '') => z.string().default(value).meta({ description, secret: true });
const whole = (description: string, value: number, min = 1) =>
  z.coerce.number().int().min(min).default(value).meta({ description });
const flag = (description: string, value: boolean) =>
  z
    .union(
      [z.boolean(), z.enum(['true', 'false', '1', '0']).transform(word => word === 'true' || word === '1')],
      'must be true or false',
    )
    .default(value)
    .meta({ description });
const words = z.union(
  [
    z.array(z.string()),
    z.string().transform(line =>
      line
        .split(',')
        .map(word => word.trim())
        .filter(Boolean),
    ),
  ],
  'must be a list of words: separated by commas, or an array of TOML',
);

/** Returns whether a text is a host with or without a port: `host`, `host:7233`, `[v6]:7233`. */
function isHostAndPort(text: string): boolean {
  const [match, port] = /^(?:\[[\da-fA-F:.]+\]|[^\s:/@[\]]+)(?::(\d+))?$/.exec(text) ?? [];
  if (match === undefined) return false;
  return port === undefined || (Number(port) >= 1 && Number(port) <= 65_535);
}

/**
 * Every setting. A TOML file uses the key; the environment variable is the key in upper case (orchestration.md section 2).
 * Worker, operator and commands use this one schema. docs/settings.md is generated from it.
 */
export const SETTINGS = {
  installation: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/, 'must be lower-case letters, digits and dashes, 40 at most')
    .default('ooni')
    .meta({
      description:
        'Name of this installation. It is a part of every task queue and workflow id, so installations can share a Temporal namespace. The operator handles the resources whose label pipeline.ooni.org/installation has this value',
    }),

  archive_url: text('The archive: a directory, or s3://bucket[/prefix]', 's3://ooni-data-eu-fra'),
  archive_legacy_url: text(
    'Archive of the original reports (cans) from before 2020-06-02: s3://bucket or a directory; empty: their conversion in archive_url is read',
    '',
  ),
  archive_region: text('Region of the S3 archive', 'eu-central-1'),
  archive_endpoint: z
    .string()
    .refine(endpoint => endpoint === '' || (/^https?:\/\//.test(endpoint) && URL.canParse(endpoint)), {
      message: 'must be a URL such as https://minio.example.org:9000, or empty for Amazon',
    })
    .default('')
    .meta({ description: 'URL of an S3 server other than Amazon; empty: Amazon' }),
  archive_path_style: flag('Put the bucket into the path of a URL instead of its host name', false),
  archive_access_key_id: secret('S3 access key; empty: unsigned requests'),
  archive_secret_access_key: secret('S3 secret key'),

  clickhouse_url: secret(
    'URL of ClickHouse: http(s)://user:password@host:8123/database; clickhouse(s):// means the same with the HTTP port',
    'http://localhost:8123',
  ),
  clickhouse_write_batch_size: whole('Maximum number of rows in one INSERT', 200_000),
  automatic_migration: z.enum(['own', 'always', 'never']).default('own').meta({
    description:
      'Databases that operator, workers and `oonipipeline run` migrate by themselves: own (made by this pipeline, or empty), always (all), or never (none); all others need `oonipipeline migrate`',
  }),
  clickhouse_cluster: text('Name of the cluster for DDL with ON CLUSTER and replicated engines; empty: one server', ''),

  temporal_address: z
    .string()
    .refine(isHostAndPort, { message: 'must be host:port without a scheme, such as temporal.example.org:7233' })
    .default('localhost:7233')
    .meta({ description: 'host:port of the Temporal frontend' }),
  temporal_namespace: text('Temporal namespace', 'default'),
  temporal_tls_client_cert_path: text('Client certificate (PEM file); requires the key', ''),
  temporal_tls_client_key_path: text('Key of the client certificate (PEM file)', ''),
  temporal_tls_server_ca_path: text(
    'Certificate of the authority that signed the server certificate (PEM file); turns TLS on',
    '',
  ),
  temporal_api_key: secret('API key of Temporal Cloud; turns TLS on'),
  temporal_ui_url: text('Address of the Temporal UI, for links in status', ''),

  analysis_rules_version: z
    .preprocess(Number, z.literal([2, 3], 'must be 2 or 3; docs/analysis-rules.md describes both'))
    .default(3)
    .meta({
      description:
        'Version of the rules that make verdicts: 2, those of the Python pipeline, or 3, which corrects fourteen weaknesses of version 2 (docs/analysis-versions.md)',
    }),
  fingerprints_dns_source: text(
    'Block page fingerprints of DNS answers: URL or file; none: verdicts without fingerprints',
    'https://raw.githubusercontent.com/ooni/blocking-fingerprints/main/fingerprints_dns.csv',
  ),
  fingerprints_http_source: text(
    'Fingerprints of HTTP responses: URL or file; none: observations name no fingerprints',
    'https://raw.githubusercontent.com/ooni/blocking-fingerprints/main/fingerprints_http.csv',
  ),
  test_lists_source: text(
    'Citizen Lab test lists: a directory, or the URL or file of a .tar.gz; none: not loaded',
    'https://codeload.github.com/citizenlab/test-lists/tar.gz/refs/heads/master',
  ),
  as_organisations_source: text(
    'History of AS organisations: URL or file; none: not loaded',
    'https://archive.org/download/ip2country-as/all_as_org_map.json',
  ),

  geoip_dir: text(
    'Directory of YYYYMMDD-*.mmdb(.gz) databases, which `oonipipeline geoip` downloads; empty: no IP metadata',
    '',
  ),
  max_measurement_bytes: whole(
    'Maximum size of a measurement in bytes; a larger one is not kept in memory and counts as failed',
    32 * 1024 * 1024,
    1024,
  ),
  max_failed_share: z.coerce.number().min(0).max(1).default(0.1).meta({
    description:
      'Maximum share of failed measurements; a run with a larger share fails if at least 10 measurements failed. The same limit holds for objects that cannot be read at all, if they are at least 3 or all objects',
  }),

  worker_tasks: words
    .refine(tasks => tasks.length > 0 && tasks.every(task => task === 'Workflows' || task === 'Activities'), {
      message: 'must name Workflows, Activities or both, separated by a comma',
    })
    .default(['Workflows', 'Activities'])
    .meta({ description: 'Tasks that the worker processes: Workflows, Activities or both' }),
  worker_slots: whole('Maximum number of concurrent activities in one worker; each has a thread', 2),
  worker_drain_timeout: whole(
    'Seconds in which a stopping worker must finish its activities or write their checkpoints',
    120,
  ),
  worker_build_id: text(
    'Version of the workflow code for Temporal Worker Versioning; empty: the worker is not versioned. The operator sets it',
    '',
  ),
  worker_health_address: text('host:port of the health endpoints and metrics of a worker; empty: none', ''),

  operator_namespaces: words.default([]).meta({ description: 'Namespaces that the operator watches; empty: all' }),
  operator_claims_unlabelled: flag(
    'Take resources without the label pipeline.ooni.org/installation, and label them. Set it to false in all but one installation of a cluster',
    true,
  ),
  operator_lease_namespace: text('Namespace of the leader lease', 'ooni-system'),
  operator_default_pools: text(
    'ConfigMap in the namespace of the lease with WorkerPools that the operator creates: the name of each as a key, its spec as YAML; empty: none',
    '',
  ),
  operator_migrates: flag(
    'Let the leading operator create or migrate the database at its start, as automatic_migration allows, so that the tables exist before a worker starts. The chart sets it',
    false,
  ),
  operator_temporal_calls_per_second: whole(
    'Calls per second to Temporal, at most. Repeated reads of running Backfills and of PipelineSchedules take less than half of them; with more resources, each is read less often',
    100,
    10,
  ),
  operator_health_address: text('host:port of the health endpoints and metrics of the operator; empty: none', ''),
  worker_image: text('Image of the worker pods of WorkerPools', 'ooni-pipeline:dev'),
  worker_versioning: flag(
    'Give workers of workflows a version, made of their image, and keep the old version until its runs have ended. Requires Temporal 1.28 or newer',
    false,
  ),
  worker_template_namespaces: words.default([]).meta({
    description:
      'Namespaces whose WorkerPools may set every field of spec.template; empty: all. In other namespaces a template may set only the size and the placement of the pods (docs/operator.md)',
  }),
  worker_disruption_budgets: flag(
    'Keep a PodDisruptionBudget for each WorkerPool, so that a drain of nodes evicts its pods one after the other. false: the operator deletes those that it made. Set it to false if you make your own, because Kubernetes does not evict a pod that two of them select',
    true,
  ),
  worker_config_map: text('ConfigMap with the environment of worker pods; empty: none', ''),
  worker_secret: text('Secret with the environment of worker pods; empty: none', ''),

  telemetry_endpoint: text('OTLP/gRPC endpoint for traces, such as http://collector:4317; empty: no traces', ''),
  prometheus_bind_address: text(
    'host:port at which a worker serves its metrics with those of the Temporal SDK, and `oonipipeline run` its metrics; empty: none',
    '',
  ),
  log_level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
    .default('info')
    .meta({ description: 'Lowest level that is logged: trace, debug, info, warn, error or fatal' }),
  log_format: z
    .enum(['auto', 'json', 'human'])
    .default('auto')
    .meta({ description: 'Form of log lines: human, json, or auto (human on a terminal, json otherwise)' }),
} as const;

const schema = z.strictObject(SETTINGS);
export type Settings = z.infer<typeof schema>;
export type SettingKey = keyof typeof SETTINGS;
const KEYS = Object.keys(SETTINGS) as SettingKey[];

/** Keys of settings that are secret or contain a secret. */
export const SECRET_KEYS: readonly SettingKey[] = KEYS.filter(
  key => (SETTINGS[key].meta() as Meta | undefined)?.secret,
);

/**
 * Reads the settings from the environment and from the TOML file that CONFIG_FILE names; the environment has priority. An
 * empty variable counts as unset. Throws SettingsError for a missing file, an unknown key in it, and a value of the wrong
 * form. The message does not show values of secrets.
 */
export function loadSettings(env: Record<string, string | undefined> = process.env): Settings {
  const file = env.CONFIG_FILE;
  const values: Record<string, unknown> = file ? readConfigFile(file) : {};
  const origin: Record<string, string> = Object.fromEntries(Object.keys(values).map(key => [key, `${key} in ${file}`]));
  for (const key of KEYS) {
    const value = env[key.toUpperCase()];
    if (value !== undefined && value !== '') {
      values[key] = value;
      origin[key] = key.toUpperCase();
    }
  }
  const parsed = schema.safeParse(values, { error: inWords });
  if (!parsed.success) {
    throw new SettingsError(parsed.error.issues.map(issue => describeIssue(issue, values, origin, file)).join('\n'));
  }
  const settings = parsed.data;
  if (!settings.temporal_tls_client_cert_path !== !settings.temporal_tls_client_key_path) {
    throw new SettingsError(
      'temporal_tls_client_cert_path and temporal_tls_client_key_path go together: set both or none',
    );
  }
  if (!settings.archive_access_key_id !== !settings.archive_secret_access_key) {
    throw new SettingsError('archive_access_key_id and archive_secret_access_key go together: set both or none');
  }
  return settings;
}

/** Most characters in which a mistyped name differs from the right one. */
const MISTYPED = 2;

/** Returns the variables of an environment that are probably mistyped settings, with the right names. They have no effect. */
export function mistypedVariables(env: Record<string, string | undefined> = process.env): Record<string, string> {
  const right = new Set(KEYS.map(key => key.toUpperCase()));
  const found = Object.keys(env).flatMap(name => {
    const nearest = right.has(name) ? undefined : nearestName(name.toLowerCase(), KEYS, MISTYPED);
    return nearest ? [[name, nearest.toUpperCase()] as const] : [];
  });
  return Object.fromEntries(found);
}

function readConfigFile(file: string): Record<string, unknown> {
  if (!existsSync(file)) throw new SettingsError(`CONFIG_FILE names ${file}, which does not exist`);
  try {
    return parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new SettingsError(`${file} is not TOML: ${(error as Error).message.split('\n')[0]}`);
  }
}

function describeIssue(
  issue: z.core.$ZodIssue,
  values: Record<string, unknown>,
  origin: Record<string, string>,
  file?: string,
): string {
  if (issue.code === 'unrecognized_keys') {
    const named = issue.keys.map(key => {
      const nearest = nearestName(key, KEYS, MISTYPED);
      return `"${key}"${nearest ? ` (did you mean ${nearest}?)` : ''}`;
    });
    return `unknown setting ${named.join(', ')} in ${file}; the settings are listed in docs/settings.md`;
  }
  const key = String(issue.path[0]) as SettingKey;
  const given = values[key];
  const value = SECRET_KEYS.includes(key)
    ? '(hidden)'
    : JSON.stringify(typeof given === 'string' ? hidePassword(given) : given);
  return `${origin[key] ?? key} = ${value}: ${issue.message}`;
}

/** Where the value of a setting comes from. */
export type SettingSource = 'environment' | 'file' | 'default';

/** Returns the source of each setting, as `loadSettings` finds it. Throws SettingsError for a file that cannot be read. */
export function settingSources(
  env: Record<string, string | undefined> = process.env,
): Record<SettingKey, SettingSource> {
  const inFile = env.CONFIG_FILE ? readConfigFile(env.CONFIG_FILE) : {};
  const sourceOf = (key: SettingKey): SettingSource => {
    if (env[key.toUpperCase()]) return 'environment';
    return key in inFile ? 'file' : 'default';
  };
  return Object.fromEntries(KEYS.map(key => [key, sourceOf(key)])) as Record<SettingKey, SettingSource>;
}

/** The settings for display: `***` replaces secrets and passwords in URLs. */
export function publicSettings(settings: Settings): Record<SettingKey, unknown> {
  return Object.fromEntries(
    KEYS.map(key => {
      const value = settings[key];
      if (value === '' || typeof value !== 'string') return [key, value];
      return [key, SECRET_KEYS.includes(key) && key !== 'clickhouse_url' ? '***' : hidePassword(value)];
    }),
  ) as Record<SettingKey, unknown>;
}
