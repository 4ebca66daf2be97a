import { clause } from '../pipeline/sentence.ts';
import { isSystemError } from '../pipeline/system-error.ts';
import { tlsProblem } from '../pipeline/tls-problem.ts';

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

/** Remedy for a file or folder that this user may not read. */
const DENIED = 'let this user read it, and repeat the command';

/** Returns whether the operating system denies access to a file. */
function isDenied(cause: unknown): boolean {
  return isSystemError(cause) && cause.path !== undefined && (cause.code === 'EACCES' || cause.code === 'EPERM');
}

/** Returns the message of an error, followed by the remedy when a server does not answer. */
export function messageWithRemedy({ name, message, cause }: Error): string {
  // The message of a problem with TLS has its own remedy.
  const remedy = tlsProblem(cause) !== undefined ? undefined : isDenied(cause) ? DENIED : REMEDIES[name];
  return remedy === undefined ? message : `${clause(message)}; ${remedy}`;
}
