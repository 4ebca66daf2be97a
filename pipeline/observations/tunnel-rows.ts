import type { TestKeys } from '../measurement/model.ts';
import { OBS_TUNNEL } from '../tables/schema.ts';
import { joinEndpoint } from './addresses.ts';
import { normaliseFailure } from './failures.ts';
import { type MeasurementRows, rowsOf } from './measurement-rows.ts';

/** Rows of the tests that establish a tunnel: one row for each attempt (observations.md section 12). */

const writeRow = rowsOf(OBS_TUNNEL);

/** An attempt to establish a tunnel. The names are those of the columns without `tunnel_`. */
export interface Tunnel {
  readonly protocol: 'psiphon' | 'tor' | 'openvpn';
  readonly transport: string;
  readonly provider?: string | null | undefined;
  readonly endpoint?: string | null | undefined;
  readonly success: boolean | null;
  readonly failure: string | null;
  /** Seconds. */
  readonly bootstrapTime?: number | null | undefined;
  /** Seconds. */
  readonly timeout?: number | null | undefined;
  /** Percent. */
  readonly progress?: number | null | undefined;
  readonly progressTag?: string | null | undefined;
  readonly connected?: boolean | null | undefined;
}

/** Writes the row of an attempt. Throws EncodeError. */
export function writeTunnel(rows: MeasurementRows, tunnel: Tunnel): void {
  writeRow(rows, ++rows.index, {
    tunnel_protocol: tunnel.protocol,
    tunnel_transport: tunnel.transport,
    tunnel_provider: tunnel.provider ?? '',
    tunnel_endpoint: tunnel.endpoint ?? '',
    tunnel_success: tunnel.success,
    tunnel_failure: tunnel.failure,
    tunnel_bootstrap_time: tunnel.bootstrapTime || null,
    tunnel_timeout: tunnel.timeout,
    tunnel_progress: tunnel.progress,
    tunnel_progress_tag: tunnel.progressTag,
    tunnel_connected: tunnel.connected,
  });
}

/** ts-015 and ts-030: a tunnel was established if it has a bootstrap time, and it works if there is no failure as well. */
function isEstablished(failure: string | null, bootstrapTime: number | null | undefined): boolean | null {
  if (failure !== null) return false;
  return bootstrapTime ? true : null;
}

/** Returns the tunnel of psiphon. */
export function psiphonTunnel({ failure, bootstrap_time, max_runtime }: TestKeys<'psiphon'>): Tunnel {
  return {
    protocol: 'psiphon',
    transport: 'psiphon',
    success: isEstablished(failure || null, bootstrap_time),
    failure: failure || null,
    bootstrapTime: bootstrap_time,
    timeout: max_runtime,
    // The tunnel was established, and a request through it failed.
    connected: bootstrap_time ? true : null,
  };
}

/** Returns the tunnel of torsf. Its transport hides whether the probe connected to a server. */
export function torsfTunnel({ failure, bootstrap_time, timeout }: TestKeys<'torsf'>): Tunnel {
  return {
    protocol: 'tor',
    transport: 'snowflake',
    success: isEstablished(failure || null, bootstrap_time),
    failure: failure || null,
    bootstrapTime: bootstrap_time,
    timeout,
    connected: bootstrap_time ? true : null,
  };
}

/** Progress of tor in percent from which the probe was connected to a relay (`conn_done`, earlier `handshake_dir`). */
const CONNECTED = 10;

/** Returns the tunnel of vanilla_tor. */
export function vanillaTorTunnel(keys: TestKeys<'vanilla_tor'>): Tunnel {
  const { failure, error, success, bootstrap_time, timeout, tor_progress, tor_progress_tag, transport_name } = keys;
  return {
    protocol: 'tor',
    transport: transport_name || 'vanilla',
    success: success ?? null,
    failure: failure || error || null,
    bootstrapTime: bootstrap_time,
    timeout,
    progress: tor_progress,
    progressTag: tor_progress_tag,
    connected: tor_progress == null ? null : tor_progress >= CONNECTED,
  };
}

/**
 * Returns the tunnel of bridge_reachability. Reports without the address of the bridge have the hash of its fingerprint. Attempts at
 * bridges without either cannot be compared, so a failed one has no success.
 */
export function bridgeTunnel(keys: TestKeys<'bridge_reachability'>): Tunnel {
  const endpoint = keys.bridge_address || keys.bridge_hashed_fingerprint || '';
  const tunnel = vanillaTorTunnel({ ...keys, failure: null, bootstrap_time: null, client_resolver: null });
  return { ...tunnel, endpoint, success: endpoint ? tunnel.success : ofNameless(tunnel.success) };
}

/** Returns the tunnel of openvpn_client_test. The document does not name the server. */
export function openvpnClientTunnel({ success, failure }: TestKeys<'openvpn_client_test'>): Tunnel {
  return { protocol: 'openvpn', transport: '', success: ofNameless(success), failure: failure || null };
}

/** A failed attempt at an unknown server must not be compared with those at others. */
function ofNameless(success: boolean | null | undefined): boolean | null {
  return success || null;
}

/**
 * Returns the attempt of meek_fronted_requests_test to get an answer of the server behind a front. `fronts`: front and host of the server.
 * It does not build a tunnel.
 */
export function meekTunnel(keys: TestKeys<'meek_fronted_requests_test'>, fronts: string): Tunnel {
  const [first] = keys.requests ?? [];
  return {
    protocol: 'tor',
    transport: 'meek',
    endpoint: fronts,
    success: fronts ? (keys.success ?? null) : ofNameless(keys.success),
    failure: normaliseFailure(first?.failure),
    connected: keys.requests?.some(({ response }) => response?.code) ? true : null,
  };
}

/** Returns the tunnels of openvpn: those of the handshakes, or in early versions the only one. */
export function openvpnTunnels(keys: TestKeys<'openvpn'>): Tunnel[] {
  const connects = keys.tcp_connect ?? [];
  if (keys.openvpn_handshake?.length) {
    return keys.openvpn_handshake.map(each => {
      const { ip, port, transport, provider, status, transaction_id } = each;
      const failure = each.failure || status?.failure || null;
      const connect = connects.find(
        other => other.ip === ip && other.port === port && other.transaction_id === transaction_id,
      );
      return {
        protocol: 'openvpn',
        transport: transport ?? '',
        provider,
        endpoint: endpointOf(ip, port),
        success: status?.success ?? failure === null,
        failure,
        bootstrapTime: failure === null ? (each.bootstrap_time ?? each.handshake_time) : null,
        connected: connect ? connect.status.success : null,
      };
    });
  }
  const { success, bootstrap_time, transport, provider, obfuscation, remote, failure, error } = keys;
  if (success == null && bootstrap_time == null) return [];
  const [connect] = connects;
  return [
    {
      protocol: 'openvpn',
      transport: obfuscation && obfuscation !== 'none' ? `${transport ?? ''}+${obfuscation}` : (transport ?? ''),
      provider,
      endpoint: remote,
      success: success ?? null,
      failure: failure || error || null,
      bootstrapTime: bootstrap_time,
      connected: connect ? connect.status.success : null,
    },
  ];
}

function endpointOf(ip: string | null | undefined, port: number | null | undefined): string {
  return ip ? joinEndpoint(ip, port ?? '') : '';
}
