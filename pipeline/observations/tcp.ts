import type { TcpConnect } from '../measurement/model.ts';
import { addressForm, isIpLiteral } from '../reference/ip-literal.ts';
import { fixAddress } from './addresses.ts';
import { normaliseFailure } from './failures.ts';

/** One attempt to connect (observations.md section 6.3). Field names are column names without `tcp_`. */
export interface TcpObservation {
  /** Empty if only the name of the host is known. */
  readonly ip: string;
  readonly port: number | null;
  /** Name of the host, of a test that connects to names. */
  readonly hostname?: string;
  readonly success: boolean;
  readonly failure: string | null;
  readonly t: number | null | undefined;
  readonly transaction_id: number | null | undefined;
  readonly conn_id: number | null | undefined;
  readonly tags: readonly unknown[] | null | undefined;
  taken: boolean;
}

/** Makes the observations of the connects, in order. Omits connects without a valid address. */
export function observeTcp(connects: readonly TcpConnect[] | null | undefined): TcpObservation[] {
  const observations: TcpObservation[] = [];
  if (!connects) return observations;
  for (const connect of connects) {
    if (!isIpLiteral(connect.ip) && !connect.ip.includes('[scrubbed]')) continue;
    observations.push({
      ip: addressForm(fixAddress(connect.ip)),
      port: connect.port,
      success: connect.status.success,
      failure: normaliseFailure(connect.status.failure),
      t: connect.t,
      transaction_id: connect.transaction_id,
      conn_id: connect.conn_id,
      tags: connect.tags,
      taken: false,
    });
  }
  return observations;
}
