import { ReferenceDataError } from '../../pipeline/reference/dataset.ts';
import { loadReference, referenceVersions } from '../../pipeline/reference/load.ts';
import { NO_SOURCE } from '../../pipeline/reference/no-source.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';

/** Where fingerprints are loaded. */
export interface FingerprintTools {
  readonly clickhouse: ClickHouse;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Updates the block page fingerprints that verdicts use. If the source cannot be used and older fingerprints exist, this only warns, unless
 * the source was given for this run. Without any fingerprints it throws, because verdicts would miss every block page. Throws
 * ReferenceDataError.
 *
 * @param isGiven the source was given for this run, not only as a setting
 */
export async function loadFingerprints(
  { clickhouse, log, signal }: FingerprintTools,
  source: string | undefined,
  isGiven: boolean,
): Promise<void> {
  if (source === undefined) return;
  try {
    await loadReference(clickhouse, 'fingerprints_dns', source, { now: Date.now(), log, signal });
  } catch (error) {
    if (!(error instanceof ReferenceDataError)) throw error;
    if (isGiven) throw new ReferenceDataError(`--fingerprints: ${error.message}`);
    const { fingerprints_dns: version } = await referenceVersions(clickhouse, signal);
    if (version) {
      log.warn(`${error.message} Verdicts are made with the earlier block page fingerprints, version ${version}.`);
      return;
    }
    throw new ReferenceDataError(
      `${error.message} Give --fingerprints a file (fingerprints_dns.csv of github.com/ooni/blocking-fingerprints), or ${NO_SOURCE} to judge without block pages.`,
    );
  }
}

/**
 * Updates the fingerprints of HTTP responses that rows name. If the source cannot be used, this only warns, unless the source was given for
 * this run: rows have the version of the fingerprints, so those without are known. Throws ReferenceDataError.
 */
export async function loadHttpFingerprints(
  { clickhouse, log, signal }: FingerprintTools,
  source: string | undefined,
  isGiven: boolean,
): Promise<void> {
  if (source === undefined) return;
  try {
    await loadReference(clickhouse, 'fingerprints_http', source, { now: Date.now(), log, signal });
  } catch (error) {
    if (!(error instanceof ReferenceDataError)) throw error;
    if (isGiven) throw new ReferenceDataError(`--http-fingerprints: ${error.message}`);
    log.warn(`${error.message} Responses are compared with the fingerprints of before, if there are any.`);
  }
}
