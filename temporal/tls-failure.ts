import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type ConnectionOptions, connect } from 'node:tls';
import { isUntrustedCertificate } from '../pipeline/tls-problem.ts';
import type { ServerOptions } from './connection.ts';

/** Milliseconds of the whole attempt. */
const TIMEOUT = 3000;

/**
 * Returns why TLS with the Temporal server fails, by one attempt with the same certificates; undefined if it does not fail, or if the server
 * cannot be reached at all. The SDK's own messages do not contain the cause: "Failed to connect" may be an expired certificate.
 */
export async function tlsFailure({ address, tls }: ServerOptions): Promise<string | undefined> {
  if (!tls) return undefined;
  const { hostname, port } = new URL(`https://${address}`);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const { serverRootCACertificate: ca, clientCertPair: pair } = tls;
  const ended = await attempt({
    host,
    port: Number(port || 443),
    ...(isIP(host) === 0 && { servername: host }),
    ALPNProtocols: ['h2'],
    ...(ca && { ca }),
    ...(pair && { cert: pair.crt, key: pair.key }),
  });
  if (ended === undefined) return undefined;
  const { secure, error } = ended;
  if (!secure) return error && ofServer(error);
  if (!pair)
    return 'the server closes the connection after the handshake, as one does that asks for a client certificate';
  const expired = expiryOf(pair.crt);
  // Texts of OpenSSL end with the alert that the server has sent: "tlsv1 alert unknown ca:../deps/…".
  const alert = /alert ([a-z ]+)/.exec(error?.message ?? '')?.[1];
  if (expired === undefined && !alert && error && !/ECONNRESET|EPIPE/.test(String(Reflect.get(error, 'code'))))
    return undefined;
  return `the server rejects the client certificate${alert ? ` (${alert})` : ''}${expired ?? ''}; renew it in temporal_tls_client_cert_path`;
}

/** How an attempt ended before the server sent anything, and whether the handshake was complete by then. */
interface Ended {
  readonly secure: boolean;
  readonly error?: Error;
}

/** Returns undefined if the server sends something after the handshake, as each HTTP/2 server does, or does not end the connection in time. */
function attempt(options: ConnectionOptions): Promise<Ended | undefined> {
  return new Promise(resolve => {
    let secure = false;
    let error: Error | undefined;
    let socket: ReturnType<typeof connect>;
    try {
      socket = connect(options);
    } catch (failure) {
      // A certificate or key that OpenSSL cannot read, or a key of another certificate.
      resolve({ secure: false, error: failure as Error });
      return;
    }
    const end = (result: Ended | undefined) => {
      clearTimeout(timer);
      resolve(result);
      socket.destroy();
    };
    const timer = setTimeout(() => end(undefined), TIMEOUT);
    socket.once('secureConnect', () => {
      secure = true;
    });
    socket.once('data', () => end(undefined));
    socket.on('error', failure => {
      error = failure;
    });
    socket.once('close', () => end({ secure, ...(error && { error }) }));
  });
}

/** Returns what is wrong before the handshake is complete; undefined for a server that cannot be reached. */
function ofServer(error: Error): string | undefined {
  const code = String(Reflect.get(error, 'code') ?? '');
  if (isUntrustedCertificate(error)) {
    return 'the authority of its certificate is not trusted; name a file with the certificate of the authority (PEM) in temporal_tls_server_ca_path';
  }
  if (code === 'CERT_HAS_EXPIRED') return 'the certificate of the server, or of its authority, has expired';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return error.message;
  if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') {
    return 'the key in temporal_tls_client_key_path is not that of the certificate in temporal_tls_client_cert_path';
  }
  const alert = /alert ([a-z ]+)/.exec(error.message)?.[1];
  if (alert) return `the server ends the TLS handshake (${alert})`;
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return 'the server does not speak TLS';
  return undefined;
}

/** Returns the end of a sentence about a certificate that has expired; undefined otherwise, also for a text that is not a certificate. */
function expiryOf(certificate: Buffer): string | undefined {
  try {
    const { validToDate } = new X509Certificate(certificate);
    return validToDate < new Date()
      ? `, which expired at ${validToDate.toISOString().replace('.000Z', 'Z')}`
      : undefined;
  } catch {
    return undefined;
  }
}
