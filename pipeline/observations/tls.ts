import type { Binary, TlsHandshake } from '../measurement/model.ts';
import { splitEndpoint } from './addresses.ts';
import type { CertificateCache } from './certificate-cache.ts';
import type { LeafCertificate } from './certificates.ts';
import { normaliseFailure } from './failures.ts';
import { type HandshakeEvents, type HandshakeFacts, handshakeFacts } from './handshake-events.ts';

/** One handshake (observations.md section 6.4). Field names are column names without `tls_`. */
export interface TlsObservation {
  ip: string | null;
  port: number | null;
  readonly failure: string | null;
  readonly server_name: string;
  readonly outer_server_name: string;
  readonly echconfig: string;
  readonly version: string;
  readonly cipher_suite: string;
  is_certificate_valid: boolean | null;
  /** Columns that begin with `tls_end_entity_certificate_`. */
  certificate: LeafCertificate | null;
  certificate_chain_length: number | null;
  certificate_chain_fingerprints: readonly string[];
  /** Columns that begin with `tls_handshake_`. */
  readonly handshake: HandshakeFacts | null;
  /** `udp` for QUIC, otherwise `tcp`, as `http_network`. */
  readonly network: 'tcp' | 'udp';
  readonly t: number | null | undefined;
  readonly transaction_id: number | null | undefined;
  readonly conn_id: number | null | undefined;
  readonly tags: readonly unknown[] | null | undefined;
  taken: boolean;
}

/** Checks the certificates that a server sent, its own first, at `t` seconds after the start of the measurement. */
export type ChainVerdict = (certificates: readonly Buffer[], t: number) => boolean;

const VALIDITY_FAILURES = ['ssl_invalid_hostname', 'ssl_unknown_authority', 'ssl_invalid_certificate'];

/** Facts and tools, besides a list of handshakes, that its observations are made with. */
export interface TlsContext {
  readonly events: HandshakeEvents;
  readonly certificates: CertificateCache;
  /** Replaces the probe's own verdict on certificates. */
  readonly judgeChain?: ChainVerdict;
}

/** Makes the observations of the handshakes, in order. */
export function observeTls(
  handshakes: readonly TlsHandshake[] | null | undefined,
  context: TlsContext,
): TlsObservation[] {
  return handshakes?.map((each, position) => observeHandshake(each, position, context)) ?? [];
}

function observeHandshake(handshake: TlsHandshake, position: number, context: TlsContext): TlsObservation {
  const { certificates, judgeChain } = context;
  const events = context.events.of(handshake, position);
  const address = events?.[0]?.address || handshake.address;
  const endpoint = address ? splitEndpoint(address) : undefined;
  const observation: TlsObservation = {
    ip: endpoint?.host ?? null,
    port: endpoint?.port ?? null,
    failure: normaliseFailure(handshake.failure),
    server_name: handshake.server_name || '',
    outer_server_name: handshake.outer_server_name || '',
    echconfig: handshake.echconfig || '',
    version: handshake.tls_version || '',
    cipher_suite: handshake.cipher_suite || '',
    is_certificate_valid: null,
    certificate: null,
    certificate_chain_length: null,
    certificate_chain_fingerprints: [],
    handshake: events ? handshakeFacts(events) : null,
    network: handshake.network === 'quic' ? 'udp' : 'tcp',
    t: handshake.t,
    transaction_id: handshake.transaction_id,
    conn_id: handshake.conn_id,
    tags: handshake.tags,
    taken: false,
  };
  const sent = handshake.peer_certificates ?? [];
  if (sent.length > 0) {
    observation.certificate_chain_length = sent.length;
    observation.certificate = certificates.leaf(sent[0]!.data);
    observation.certificate_chain_fingerprints = chainFingerprints(sent, observation.certificate, certificates);
  }
  const chain = judgeChain && sent.length > 0 ? certificates.decode(sent) : undefined;
  if (judgeChain && chain) {
    observation.is_certificate_valid = judgeChain(chain, handshake.t || 0);
  } else if (handshake.no_tls_verify === false) {
    if (observation.failure === null) observation.is_certificate_valid = true;
    else if (VALIDITY_FAILURES.includes(observation.failure)) observation.is_certificate_valid = false;
  }
  return observation;
}

/** Returns the fingerprints of all certificates except the first. Returns none if any certificate, including the first, is not base64. */
function chainFingerprints(sent: readonly Binary[], leaf: LeafCertificate | null, known: CertificateCache): string[] {
  const isWhole = leaf !== null || known.fingerprint(sent[0]!.data) !== null;
  const fingerprints = isWhole ? sent.slice(1).map(({ data }) => known.fingerprint(data)) : [];
  return fingerprints.every(each => each !== null) ? fingerprints : [];
}
