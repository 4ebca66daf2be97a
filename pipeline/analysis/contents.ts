import { IS_MESSENGER } from './messengers.ts';
import { HAS_OWN_CONTROL } from './own-controls.ts';
import { HAS_FAILED, SILENT_RUN } from './reporters.ts';
import type { RulesVersion } from './rules.ts';
import { inDays, type Query } from './selection.ts';
import { IS_WITHOUT_ADDRESS } from './signals.ts';

/**
 * Contents of the observations and the control of some days. The statement of the verdicts leaves out the relations over what they lack, because
 * ClickHouse takes longer to plan a small day than to judge it. Ask after the analysis is opened. Then the answer includes all observations that the
 * analysis has to judge, and a run that adds others judges them itself.
 */
export interface Contents {
  /** Whether there are observations of messengers. */
  readonly hasMessengers: boolean;
  /** Whether observations have IPv6 addresses. */
  readonly hasIPv6: boolean;
  /** Whether enough measurements failed for a probe without a network (reporters.ts). */
  readonly mayBeOffline: boolean;
  /** Whether responses have fingerprints. */
  readonly hasHttpFingerprints: boolean;
  /** Whether there are observations of tests with a control of their own. */
  readonly hasOwnControls: boolean;
  /** Whether there are responses to requests of web_connectivity whose address is not known. */
  readonly hasPagesWithoutAddress: boolean;
  /** Whether there are handshakes with an outcome. */
  readonly hasHandshakes: boolean;
  /** Whether there are requests with an outcome. */
  readonly hasRequests: boolean;
  /** About how many endpoints of hosts the control has: the rows of the right sides of joins. */
  readonly controlEndpoints: number;
}

/** The contents of days of which nothing is known. */
const UNKNOWN_CONTENTS: Contents = {
  hasMessengers: true,
  hasIPv6: true,
  mayBeOffline: true,
  hasHttpFingerprints: true,
  hasOwnControls: true,
  hasPagesWithoutAddress: true,
  hasHandshakes: true,
  hasRequests: true,
  controlEndpoints: Number.POSITIVE_INFINITY,
};

/** Returns the contents in the options of an analysis; absent ones are unknown. */
export function contentsIn({ contents = UNKNOWN_CONTENTS }: { readonly contents?: Contents }): Contents {
  return contents;
}

/** A row of contentsQuery: 0 or 1, or a number; absent: not asked for. */
export interface ContentsRow {
  readonly ipv6: number;
  readonly control_endpoints: number;
  readonly messengers?: number;
  readonly failed_measurements?: number;
  readonly http_fingerprints?: number;
  readonly own_controls?: number;
  readonly pages_without_address?: number;
  readonly handshakes?: number;
  readonly requests?: number;
}

/** Aggregates of the contents that version 2 does not use. */
const SINCE_3 = `max(${IS_MESSENGER}) AS messengers,
    uniqIf(measurement_uid, ${HAS_FAILED}) AS failed_measurements, max(notEmpty(http_fingerprints)) AS http_fingerprints,
    max(${HAS_OWN_CONTROL}) AS own_controls,
    max(${IS_WITHOUT_ADDRESS} AND http_response_status_code IS NOT NULL) AS pages_without_address,
    max(tls_failure IS NOT NULL OR tls_is_certificate_valid IS NOT NULL) AS handshakes,
    max(http_failure IS NOT NULL OR http_response_status_code IS NOT NULL) AS requests`;

/** Returns the query for the contents of days that a version of the rules uses: one row. */
export function contentsQuery(days: readonly string[], version: RulesVersion): Query {
  const { sql, params } = inDays(days);
  return {
    sql: `SELECT * FROM (
  SELECT max(ifNull(isIPv6String(ip), 0)) AS ipv6${version === 2 ? '' : `, ${SINCE_3}`}
  FROM obs_web WHERE ${sql}
) AS observed CROSS JOIN (
  SELECT uniq(hostname, ip, ifNull(port, 0)) AS control_endpoints FROM obs_web_ctrl WHERE ${sql}
) AS control`,
    params,
  };
}

/** Returns the contents that the row of contentsQuery describes; what was not asked for, and everything without a row, is unknown. */
export function contentsOf(row: ContentsRow | undefined): Contents {
  if (!row) return UNKNOWN_CONTENTS;
  return {
    hasMessengers: Number(row.messengers ?? 1) > 0,
    hasIPv6: Number(row.ipv6) > 0,
    mayBeOffline: Number(row.failed_measurements ?? SILENT_RUN) >= SILENT_RUN,
    hasHttpFingerprints: Number(row.http_fingerprints ?? 1) > 0,
    hasOwnControls: Number(row.own_controls ?? 1) > 0,
    hasPagesWithoutAddress: Number(row.pages_without_address ?? 1) > 0,
    hasHandshakes: Number(row.handshakes ?? 1) > 0,
    hasRequests: Number(row.requests ?? 1) > 0,
    controlEndpoints: Number(row.control_endpoints),
  };
}

/** Returns whether the days have a control. */
export function hasControl({ controlEndpoints }: Contents): boolean {
  return controlEndpoints > 0;
}

/** Number of endpoints of the control of a small day. */
const SMALL_CONTROL = 10_000;

/** Returns whether the days are so small that ClickHouse plans the statement of the verdicts longer than it judges them. */
export function isSmall({ controlEndpoints }: Contents): boolean {
  return controlEndpoints <= SMALL_CONTROL;
}
