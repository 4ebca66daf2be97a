import { NETTEST_GROUPS } from './nettest-groups.ts';
import { quoted } from './quoted.ts';
import { PEER_ANSWERS } from './reporters.ts';
import { OF_ALL_COUNTRIES } from './samples.ts';

/**
 * How messengers are judged. Their tests have no control. They try the endpoints of a service, and a service is blocked if its endpoints
 * fail while the probe has a network (OONI's test specifications ts-018, ts-019, ts-020 and ts-029). Targets are those of `obs_web.target_id`.
 */

const TESTS = quoted(NETTEST_GROUPS.im as readonly string[]);
/** Targets with redundant endpoints. The messenger tries them until one works, so one is enough. Of the other targets each host is needed. */
const REDUNDANT = quoted(['telegram/dc_pool', 'whatsapp/endpoints']);
/** Endpoints that a client does not need: the tests look them up, and connect to none of them. */
const UNUSED = quoted(['uptime.signal.org', 'stun.fbsbx.com']);
/** AS numbers of Meta. The tests of its messengers only connect, so an address is known to be genuine by its network alone. */
const META = [32934, 54115, 63293];

/** SQL of the condition that a row is of a test of a messenger. */
export const IS_MESSENGER = `test_name IN (${TESTS})`;

/**
 * Returns the SQL of the endpoint of a row: the target of redundant endpoints, otherwise the host; empty for rows of other tests and without
 * target. Rows with the same endpoint are judged together.
 *
 * @param host SQL of the host name
 */
export function endpointOf(host: string): string {
  return `if(${IS_MESSENGER} AND target_id IS NOT NULL, if(target_id IN (${REDUNDANT}), assumeNotNull(target_id), ifNull(${host}, '')), '')`;
}

/** SQL conditions over a row `o` of the observations, for signals. */
export const MESSENGER_SIGNALS = {
  isService: `o.endpoint NOT IN ('', ${UNUSED})`,
  isUnused: `o.endpoint IN (${UNUSED})`,
  isRedundant: `o.endpoint IN (${REDUNDANT})`,
  isOwnNetwork: `o.test_name IN ('whatsapp', 'facebook_messenger') AND ifNull(o.ip_asn, 0) IN (${META.join(', ')})`,
  // Signal removed the name by this day; the probe's test_version 0.2.2 still tries it.
  isRetired:
    "o.endpoint = 'api.directory.signal.org' AND o.measurement_start_time >= toDateTime64('2023-05-30 00:00:00', 3, 'UTC')",
  // ts-029: Signal changed its root certificate, which these versions of the test do not know.
  isOutdated: `o.test_name = 'signal' AND ((o.test_version IN ('0.1.0', '0.2.0') AND o.measurement_start_time >= toDateTime64('2022-10-19 00:00:00', 3, 'UTC'))
      OR (o.test_version IN ('0.2.1', '0.2.2', '0.2.3') AND o.measurement_start_time >= toDateTime64('2023-11-06 16:00:00', 3, 'UTC')))`,
} as const;

/** SQL of the condition that connects are all that the test makes to the endpoint of a row. */
export const ONLY_CONNECTS = "(j.test_name = 'facebook_messenger' OR j.endpoint = 'whatsapp/endpoints')";

/** Answers of a resolver without an address. */
const OF_RESOLVERS = quoted(['dns_nxdomain_error', 'dns_refused_error', 'dns_servfail_error']);

/** The rows of messengers, with what each of them reached. */
function rows(rowDay: string, host: string, condition: string): string {
  const endpoint = endpointOf(host);
  return `SELECT ${rowDay}measurement_uid, probe_cc, bucket_date, run_generation, ${endpoint} AS endpoint,
    ifNull(ip_is_bogon, 0) = 0 AND ip IS NOT NULL AS is_public,
    is_public AND dns_answer IS NOT NULL AS is_answered,
    is_public AND ifNull(tcp_success = 1, 0) AND (endpoint IN (${REDUNDANT}) OR ifNull(port, 0) != 80) AS is_connected,
    ifNull(tls_is_certificate_valid = 1, 0) AS is_proven,
    http_response_status_code IS NOT NULL AND http_failure IS NULL AND (endpoint IN (${REDUNDANT}) OR ifNull(startsWith(http_request_url, 'https://'), 0)) AS is_responded,
    is_answered OR is_proven OR is_public AND (ifNull(tcp_success = 1, 0) OR ifNull(tcp_failure IN (${PEER_ANSWERS}), 0)
      OR ifNull(tls_failure IN (${PEER_ANSWERS}) OR startsWith(tls_failure, 'ssl_'), 0))
      OR (probe_asn > 0 AND ifNull(dns_failure IN (${OF_RESOLVERS}), 0)) AS is_online
  FROM obs_web FINAL
  WHERE ${condition} AND ${IS_MESSENGER}`;
}

/**
 * Returns the relations `service`, what each measurement reached of each endpoint, and `service_day`, what all measurements of the day
 * reached. Both are small: they have rows of messengers only.
 *
 * @param day `day, ` for several days, or empty
 * @param rowDay the same with the expression of the day
 * @param selected condition of the measurements that are judged
 * @param within condition of the days
 */
export function serviceRelations(parts: {
  readonly day: string;
  readonly rowDay: string;
  readonly host: string;
  readonly selected: string;
  readonly within: string;
}): string {
  const { day, rowDay, host, selected, within } = parts;
  return `service AS (
  SELECT * FROM (
    SELECT *, max(is_online) OVER (PARTITION BY ${day}measurement_uid) AS shows_network
    FROM (
      SELECT ${day}measurement_uid, endpoint, max(is_answered) AS answered, max(is_connected) AS connected, max(is_proven) AS proven,
        max(is_responded) AS responded, max(m.is_online) AS is_online
      FROM (${rows(rowDay, host, selected)}) AS m
      GROUP BY ${day}measurement_uid, endpoint
    )
  ) WHERE endpoint != ''
),
service_day AS (
  SELECT ${day}endpoint, max(is_answered) AS answered, max(is_connected) AS connected, max(is_proven) AS proven, max(is_responded) AS responded,
    uniqExact(probe_cc) AS countries, uniqExactIf(probe_cc, ${OF_ALL_COUNTRIES}) AS sampled_countries
  FROM (${rows(rowDay, host, within)}) AS m
  WHERE endpoint != ''
  GROUP BY ${day}endpoint
),`;
}
