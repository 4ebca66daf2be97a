import { IS_MESSENGER } from './messengers.ts';
import { HAS_OWN_CONTROL } from './own-controls.ts';
import { HAS_FAILED, SILENT_RUN } from './reporters.ts';
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
  controlEndpoints: Number.POSITIVE_INFINITY,
};

/** Returns the contents in the options of an analysis; absent ones are unknown. */
export function contentsIn({ contents = UNKNOWN_CONTENTS }: { readonly contents?: Contents }): Contents {
  return contents;
}

/** A row of contentsQuery: 0 or 1, or a number. */
export interface ContentsRow {
  readonly messengers: number;
  readonly ipv6: number;
  readonly failed_measurements: number;
  readonly http_fingerprints: number;
  readonly own_controls: number;
  readonly pages_without_address: number;
  readonly control_endpoints: number;
}

/** Returns the query for the contents of days: one row. */
export function contentsQuery(days: readonly string[]): Query {
  const { sql, params } = inDays(days);
  return {
    sql: `SELECT messengers, ipv6, failed_measurements, http_fingerprints, own_controls, pages_without_address, control_endpoints FROM (
  SELECT max(${IS_MESSENGER}) AS messengers, max(ifNull(isIPv6String(ip), 0)) AS ipv6,
    uniqIf(measurement_uid, ${HAS_FAILED}) AS failed_measurements, max(notEmpty(http_fingerprints)) AS http_fingerprints,
    max(${HAS_OWN_CONTROL}) AS own_controls,
    max(${IS_WITHOUT_ADDRESS} AND http_response_status_code IS NOT NULL) AS pages_without_address
  FROM obs_web WHERE ${sql}
) AS observed CROSS JOIN (
  SELECT uniq(hostname, ip, ifNull(port, 0)) AS control_endpoints FROM obs_web_ctrl WHERE ${sql}
) AS control`,
    params,
  };
}

/** Returns the contents that the row of contentsQuery describes; those of unknown days without a row. */
export function contentsOf(row: ContentsRow | undefined): Contents {
  if (!row) return UNKNOWN_CONTENTS;
  return {
    hasMessengers: row.messengers > 0,
    hasIPv6: row.ipv6 > 0,
    mayBeOffline: Number(row.failed_measurements) >= SILENT_RUN,
    hasHttpFingerprints: row.http_fingerprints > 0,
    hasOwnControls: row.own_controls > 0,
    hasPagesWithoutAddress: row.pages_without_address > 0,
    controlEndpoints: Number(row.control_endpoints),
  };
}

/** Number of endpoints of the control of a small day. */
const SMALL_CONTROL = 10_000;

/** Returns whether the days are so small that ClickHouse plans the statement of the verdicts longer than it judges them. */
export function isSmall({ controlEndpoints }: Contents): boolean {
  return controlEndpoints <= SMALL_CONTROL;
}
