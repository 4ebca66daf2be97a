import { existsSync, readFileSync } from 'node:fs';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { hidePassword } from './hide-password.ts';

/** A setting that cannot be used: names the key, the value and where it came from. */
export class SettingsError extends Error {
  override name = 'SettingsError';
}

interface Meta {
  description: string;
  /** Never printed, never logged. */
  secret?: boolean;
}

// The description goes on last: a schema wrapped by `default` no longer shows the metadata of what it wraps.
const text = (description: string, value: string) => z.string().default(value).meta({ description });
const secret = (description: string, value = '') => z.string().default(value).meta({ description, secret: true });
const whole = (description: string, value: number, min = 1) =>
  z.coerce.number().int().min(min).default(value).meta({ description });
const flag = (description: string, value: boolean) =>
  z
    .union([z.boolean(), z.enum(['true', 'false', '1', '0']).transform(word => word === 'true' || word === '1')])
    .default(value)
    .meta({ description });
const words = z.union([
  z.array(z.string()),
  z.string().transform(line =>
    line
      .split(',')
      .map(word => word.trim())
      .filter(Boolean),
  ),
]);

/**
 * Every setting. The key is what a TOML file writes; the environment variable is the key in upper case (orchestration.md
 * section 2). One schema serves the worker, the operator and the commands; docs/settings.md is made from it.
 */
export const SETTINGS = {
  installation: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/, 'must be lower-case letters, digits and dashes, 40 at most')
    .default('ooni')
    .meta({
      description: 'Name of this installation: the first part of every workflow id, so two can share a Temporal',
    }),

  archive_url: text('The archive: a directory, or s3://bucket[/prefix]', 's3://ooni-data-eu-fra'),
  archive_legacy_url: text('Where the cans from before 2020-06-02 lie; empty: nowhere', ''),
  archive_region: text('Region of the S3 archive', 'eu-central-1'),
  archive_endpoint: z
    .string()
    .refine(endpoint => endpoint === '' || (/^https?:\/\//.test(endpoint) && URL.canParse(endpoint)), {
      message: 'must be a URL such as https://minio.example.org:9000, or empty for Amazon',
    })
    .default('')
    .meta({ description: 'URL of an S3 server other than Amazon; empty: Amazon' }),
  archive_path_style: flag('Write the bucket into the path instead of the host name', false),
  archive_access_key_id: secret('S3 access key; empty: unsigned requests'),
  archive_secret_access_key: secret('S3 secret key'),

  clickhouse_url: secret(
    'http(s)://user:password@host:8123/database; clickhouse(s):// is read as the same with the HTTP port',
    'http://localhost:8123',
  ),
  clickhouse_write_batch_size: whole('Rows in one INSERT at most', 200_000),
  automatic_migration: z.enum(['own', 'always', 'never']).default('own').meta({
    description:
      'Databases that workers and `oonipipeline run` migrate by themselves: own (made by this pipeline, or empty), always, or never; others wait for `oonipipeline migrate`',
  }),
  clickhouse_cluster: text('Run DDL ON CLUSTER this name, with replicated engines; empty: one server', ''),

  temporal_address: text('host:port of the Temporal frontend', 'localhost:7233'),
  temporal_namespace: text('Temporal namespace', 'default'),
  temporal_tls_client_cert_path: text('Client certificate (PEM); needs the key too', ''),
  temporal_tls_client_key_path: text('Key of the client certificate (PEM)', ''),
  temporal_tls_server_ca_path: text('Authority that signed the server certificate (PEM); turns TLS on', ''),
  temporal_api_key: secret('API key, for Temporal Cloud; turns TLS on'),
  temporal_ui_url: text('Address of the Temporal UI, for links in status', ''),

  analysis_rules_version: z
    .preprocess(Number, z.literal([2, 3], 'must be 2 or 3; docs/analysis-rules.md says what they are'))
    .default(3)
    .meta({
      description:
        'Rules that verdicts are made by: 2, those of the Python pipeline, or 3, with three of its weaknesses remedied (docs/analysis-versions.md)',
    }),
  fingerprints_dns_source: text(
    'Block page fingerprints of DNS answers: URL or file; none: judge without',
    'https://raw.githubusercontent.com/ooni/blocking-fingerprints/main/fingerprints_dns.csv',
  ),
  fingerprints_http_source: text(
    'Block page fingerprints of HTTP answers: URL or file; none: do without',
    'https://raw.githubusercontent.com/ooni/blocking-fingerprints/main/fingerprints_http.csv',
  ),
  test_lists_source: text(
    'Citizen Lab test lists: directory, or URL or file of a .tar.gz; none: do without',
    'https://codeload.github.com/citizenlab/test-lists/tar.gz/refs/heads/master',
  ),
  as_organisations_source: text(
    'History of AS organisations: URL or file; none: do without',
    'https://archive.org/download/ip2country-as/all_as_org_map.json',
  ),

  geoip_dir: text(
    'Directory of YYYYMMDD-*.mmdb(.gz) databases, as `oonipipeline geoip` fetches them; empty: no IP metadata',
    '',
  ),
  max_measurement_bytes: whole(
    'A measurement longer than this is read past and counted as failed',
    32 * 1024 * 1024,
    1024,
  ),
  max_failed_share: z.coerce.number().min(0).max(1).default(0.1).meta({
    description:
      'A run with a larger share of failed measurements fails, if they are at least 10; so does one with a larger share of objects that cannot be read at all, if they are at least 3 or all of them',
  }),

  worker_tasks: words
    .refine(tasks => tasks.length > 0 && tasks.every(task => task === 'Workflows' || task === 'Activities'), {
      message: 'must name Workflows, Activities or both, separated by a comma',
    })
    .default(['Workflows', 'Activities'])
    .meta({ description: 'Workflows, Activities or both, separated by a comma' }),
  worker_slots: whole('Activities at a time in one worker, a thread each', 2),
  worker_drain_timeout: whole('Seconds a worker told to stop has to finish or checkpoint', 120),
  worker_health_address: text('host:port of the health endpoints; empty: none', ''),

  operator_namespaces: words.default([]).meta({ description: 'Namespaces the operator watches; empty: all' }),
  operator_lease_namespace: text('Namespace of the leader lease', 'ooni-system'),
  operator_health_address: text('host:port of health and metrics; empty: none', ''),
  worker_image: text('Image of the worker pods that WorkerPools make', 'ooni-pipeline:dev'),
  worker_config_map: text('ConfigMap whose keys are the environment of worker pods; empty: none', ''),
  worker_secret: text('Secret whose keys are the environment of worker pods; empty: none', ''),

  telemetry_endpoint: text('OTLP/gRPC endpoint for traces and metrics; empty: none', ''),
  prometheus_bind_address: text('host:port where Temporal SDK metrics are offered; empty: none', ''),
  log_level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
    .default('info')
    .meta({ description: 'Least level logged' }),
  log_format: z
    .enum(['auto', 'json', 'human'])
    .default('auto')
    .meta({ description: 'auto: human on a terminal, JSON otherwise' }),
} as const;

const schema = z.strictObject(SETTINGS);
export type Settings = z.infer<typeof schema>;
export type SettingKey = keyof typeof SETTINGS;
const KEYS = Object.keys(SETTINGS) as SettingKey[];

/** Keys whose values are secret, or carry a secret. */
export const SECRET_KEYS: readonly SettingKey[] = KEYS.filter(
  key => (SETTINGS[key].meta() as Meta | undefined)?.secret,
);

/**
 * Settings from the environment over the TOML file named by CONFIG_FILE. An empty variable counts as unset. Throws
 * SettingsError for a missing file, an unknown key in it, and a value of the wrong form; values of secrets are not shown.
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
  const parsed = schema.safeParse(values);
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
    return `unknown setting ${issue.keys.map(key => `"${key}"`).join(', ')} in ${file}; the settings are listed in docs/settings.md`;
  }
  const key = String(issue.path[0]) as SettingKey;
  const given = values[key];
  const value = SECRET_KEYS.includes(key)
    ? '(hidden)'
    : JSON.stringify(typeof given === 'string' ? hidePassword(given) : given);
  return `${origin[key] ?? key} = ${value}: ${issue.message}`;
}

/** The settings as a person may see them: secrets, and passwords in URLs, replaced by `***`. */
export function publicSettings(settings: Settings): Record<SettingKey, unknown> {
  return Object.fromEntries(
    KEYS.map(key => {
      const value = settings[key];
      if (value === '' || typeof value !== 'string') return [key, value];
      return [key, SECRET_KEYS.includes(key) && key !== 'clickhouse_url' ? '***' : hidePassword(value)];
    }),
  ) as Record<SettingKey, unknown>;
}
