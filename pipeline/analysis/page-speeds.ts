import { hostOf } from './judgement.ts';
import { reporterOf } from './reporters.ts';
import { SLOW } from './signals.ts';
import type { View } from './view.ts';

/** Minimum bytes of a response. The speed of a smaller one depends more on round trips than on the network. */
const ENOUGH = 32 * 1024;
/** Minimum seconds of a slow response. A single pause is shorter. */
const LONG = 2;
/** Bytes per second from which a page is fast: four times the speed below which it is slow, so that a network between the two shows nothing. */
const FAST = 4 * SLOW;
/** Minimum number of other hosts that the same probe loaded fast. */
const HOSTS = 3;
/** Minimum number of other networks that loaded the same host fast. */
const NETWORKS = 2;
/** Minimum number of measurements of a network in which the page is slow. One may be an accident. */
const REPEATED = 2;

/** Pages of one probe, of one host, and of one host in one network, on a day. */
const OF_PROBE = 'PARTITION BY measurement_day, reporter';
const OF_HOST = 'PARTITION BY measurement_day, hostname';
const OF_NETWORK = 'PARTITION BY measurement_day, hostname, probe_cc, probe_asn';

/**
 * The speeds of pages, by the bytes that web_connectivity 0.5 counts over time. The control records no times, so a slow page is compared
 * with other hosts of the same probe, which shows that the probe’s network was fast, and with other networks, which shows that the site was
 * fast. Windows hold numbers and no lists, because a list would be copied to each page of a host that many networks load.
 */
export const PAGE_SPEEDS: View = {
  name: 'page_speeds',
  question: 'How fast did a page arrive, and is it slow in one network only?',
  columns: {
    'measurement_day, measurement_start_time, measurement_uid, test_name, probe_cc, probe_asn, probe_as_org_name, input, hostname, ip, http_request_url, http_failure':
      'the request, as in `obs_web`; only requests with counts of bytes (web_connectivity since 0.5)',
    received: 'bytes that the connection received since the request began, compressed and with headers',
    seconds: 'duration of the request',
    bytes_per_second: `speed from the first count of the response to the end of the request, if this took ${LONG} seconds or more; otherwise \`received\` / \`seconds\`, which is less than the speed of the network`,
    fast_hosts: 'hosts that the same probe loaded fast on this day',
    slow_hosts: 'hosts that it loaded slowly',
    fast_networks: 'networks (country and AS number) that loaded this host fast on this day',
    slow_measurements: 'measurements of this network in which this host was slow on this day',
    outcome: `\`fast\`: ${ENOUGH / 1024} kB or more at ${FAST / 1024} kB per second or more; \`slow\`: ${ENOUGH / 1024} kB or more, for ${LONG} seconds or more, at less than ${SLOW / 1024} kB per second; \`throttled\`: slow in ${REPEATED} measurements or more and never fast in this network, and fast in at least ${NETWORKS} others, while the probe loaded at least ${HOSTS} other hosts fast, and more hosts fast than slowly; \`unknown\`: anything else`,
  },
  select: `SELECT
  measurement_day, measurement_start_time, measurement_uid, test_name, probe_cc, probe_asn, probe_as_org_name, input, hostname, ip, http_request_url, http_failure,
  received, seconds, bytes_per_second,
  uniqExactIf(hostname, is_fast) OVER (${OF_PROBE}) AS fast_hosts,
  uniqExactIf(hostname, is_slow) OVER (${OF_PROBE}) AS slow_hosts,
  uniqExactIf((probe_cc, probe_asn), is_fast) OVER (${OF_HOST}) AS fast_networks,
  uniqExactIf(measurement_uid, is_slow) OVER (${OF_NETWORK}) AS slow_measurements,
  multiIf(
    is_fast, 'fast',
    NOT is_slow, 'unknown',
    slow_measurements >= ${REPEATED} AND countIf(is_fast) OVER (${OF_NETWORK}) = 0 AND fast_networks >= ${NETWORKS} AND fast_hosts >= ${HOSTS} AND fast_hosts > slow_hosts, 'throttled',
    'slow') AS outcome
FROM (
  SELECT *,
    if(arrived_in >= ${LONG}, arrived / arrived_in, received / seconds) AS bytes_per_second,
    received >= ${ENOUGH} AND bytes_per_second >= ${FAST} AS is_fast,
    received >= ${ENOUGH} AND arrived_in >= ${LONG} AND bytes_per_second < ${SLOW} AS is_slow
  FROM (
    SELECT *, began + seconds AS ended,
      greatest(arrayMax(arrayMap((t, bytes) -> if(t <= began, bytes, 0), transfer_t, counts)), ifNull(tls_handshake_read_bytes, 0)) AS before,
      arrayMax(counts) AS total,
      greatest(0, total - before) AS received,
      arrayFirst((t, bytes) -> t > began AND bytes > before, transfer_t, counts) AS first_t,
      arrayFirst((bytes, t) -> t > began AND bytes > before, counts, transfer_t) AS first_bytes,
      if(received > 0, ended - first_t, 0) AS arrived_in,
      if(received > 0, total - first_bytes, 0) AS arrived
    FROM (
      SELECT toDate32(measurement_start_time, 'UTC') AS measurement_day, measurement_start_time, measurement_uid, test_name, probe_cc, probe_asn,
        probe_as_org_name, input, ${hostOf('o.hostname', 3)} AS hostname, ip, http_request_url, http_failure, transfer_t,
        arrayMap(bytes -> toFloat64(bytes), transfer_bytes) AS counts, tls_handshake_read_bytes, ${reporterOf(3)} AS reporter, assumeNotNull(o.http_runtime) AS seconds, assumeNotNull(o.http_t) - seconds AS began
      FROM obs_web AS o FINAL
      WHERE notEmpty(transfer_bytes) AND o.http_runtime > 0 AND o.http_t IS NOT NULL
    )
  )
)`,
};
