import { clause } from '../pipeline/sentence.ts';
import { isUntrustedCertificate } from '../pipeline/untrusted-certificate.ts';

/** Remedies for a user when a server does not answer, by the name of the error. */
const REMEDIES: Readonly<Record<string, string>> = {
  ClickHouseUnavailableError: 'start ClickHouse, or name another one with --clickhouse or CLICKHOUSE_URL',
  TemporalUnavailable: 'start Temporal (npm start -- --no-kubernetes), or name another one with TEMPORAL_ADDRESS',
  TemporalDenied: 'check TEMPORAL_API_KEY and the TEMPORAL_TLS settings; oonipipeline config --changed shows them',
  ArchiveUnavailableError: 'check the network, ARCHIVE_URL and ARCHIVE_ENDPOINT, and repeat the command',
  UnreachableError: 'check the cluster with kubectl cluster-info, or choose another one with --context or KUBECONFIG',
  SilentError: 'check the cluster with kubectl cluster-info, or choose another one with --context or KUBECONFIG',
};

/** Remedy for ClickHouse and for Temporal, for displays that show both. */
export const SERVER_REMEDIES = {
  ClickHouse: REMEDIES.ClickHouseUnavailableError ?? '',
  Temporal: REMEDIES.TemporalUnavailable ?? '',
};

/** Returns the message of an error, followed by the remedy when a server does not answer. */
export function messageWithRemedy({ name, message, cause }: Error): string {
  const remedy = REMEDIES[name];
  // The message has its own remedy.
  if (isUntrustedCertificate(cause)) return message;
  return remedy === undefined ? message : `${clause(message)}; ${remedy}`;
}
