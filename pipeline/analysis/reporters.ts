import { quoted } from './quoted.ts';
import type { RulesVersion } from './rules.ts';

/**
 * Defines which measurements belong to one reporter. Version 2: those of a report. Version 3: those of a probe that has an id, otherwise those of a
 * report, otherwise the measurement alone. Measurements without any id do not count as one probe.
 */
export function reporterOf(version: RulesVersion): string {
  if (version === 2) return 'report_id';
  return "multiIf(probe_id != '', toStringCutToZero(probe_id), report_id != '', report_id, measurement_uid)";
}

/** Number of neighbouring measurements without any answer, from which on the probe had no network. */
export const SILENT_RUN = 3;

/** SQL of the condition that a lookup or a connect of a row failed. Each silent measurement has such a row. */
export const HAS_FAILED = 'dns_failure IS NOT NULL OR tcp_failure IS NOT NULL';

/** Failures that are answers of a peer, so that packets of the probe reach the network, as a list for IN. */
export const PEER_ANSWERS = quoted(['connection_refused', 'connection_reset']);

/** Failures of lookups that are answers of a resolver, so that there was a network. */
const RESOLVER_ANSWERS = [
  'dns_nxdomain_error',
  'dns_no_answer',
  'dns_refused_error',
  'dns_servfail_error',
  'dns_server_misbehaving',
  // Android's message for names that do not exist.
  'android_dns_cache_no_data',
];

/**
 * Returns the uids of measurements that a probe made while it had no network. A measurement is *silent* when it reached nothing (no answer, no
 * connect, no refusal, no handshake, no page) and something failed. An answer behind which no connect succeeds may come from a cache, so it does
 * not count. The probe fetches its control over the same network. So a silent measurement without a control was made without a network when it
 * belongs to a run of at least three silent ones of different hosts, or when more than half of the reporter's measurements are silent, and at
 * least three.
 *
 * A silent measurement with a control had a network, and a failure that is an answer of a resolver is judged. Its other failures count only by
 * the share of the reporter: a network that comes and goes.
 */
export function offlineQuery(of: {
  readonly reporter: string;
  readonly within: string;
  readonly ofReporters: string;
}): string {
  const { reporter, within, ofReporters } = of;
  const silent = `SELECT ${reporter} AS reporter, measurement_start_time AS started, measurement_uid AS uid, any(ifNull(hostname, '')) AS host,
      max(dns_answer IS NOT NULL) AS looked_up,
      max(ifNull(tcp_success = 1 OR tcp_failure IN (${PEER_ANSWERS}), 0) OR ifNull(tls_is_certificate_valid = 1, 0) OR http_response_status_code IS NOT NULL) AS contacted,
      contacted OR (looked_up AND NOT max(tcp_failure IS NOT NULL)) AS reached,
      NOT reached AND max(${HAS_FAILED}) AS silent,
      looked_up OR max(ifNull(dns_failure IN (${quoted(RESOLVER_ANSWERS)}), 0)) AS answered
    FROM obs_web FINAL
    WHERE ${within} ${ofReporters}
    GROUP BY reporter, started, uid`;
  // 0: there was a network; 1: silent, without a control; 2: silent, with a control and unanswered lookups.
  const state = `multiIf(NOT silent, 0, uid NOT IN (SELECT measurement_uid FROM obs_web_ctrl WHERE ${within}), 1, NOT answered, 2, 0)`;
  // A lambda that named the list would copy it for each of its items.
  const runs = 'arraySplit((each, before) -> each.3 != before.3, list, arrayPushFront(arrayPopBack(list), list[1]))';
  const hosts = (list: string) => `length(arrayDistinct(arrayMap(each -> each.4, ${list})))`;
  return `SELECT arrayJoin(arrayMap(each -> each.2, arrayConcat(
      arrayFlatten(arrayFilter(run -> run[1].3 = 1 AND ${hosts('run')} >= ${SILENT_RUN}, ${runs})),
      arrayFilter(each -> each.3 > 0 AND is_often, list)))) AS uid
    FROM (
      SELECT arraySort(groupArray((started, uid, state, host))) AS list, countIf(state > 0) AS silences,
        silences * 2 > count() AND ${hosts('arrayFilter(each -> each.3 > 0, list)')} >= ${SILENT_RUN} AS is_often
      FROM (SELECT *, ${state} AS state FROM (${silent}))
      GROUP BY reporter
      HAVING silences >= ${SILENT_RUN}
    )`;
}
