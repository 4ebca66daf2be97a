/** Codes of Node for a certificate whose authority it does not know. */
const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** Node reads the file at its start. */
const UNTRUSTED_CERTIFICATE =
  'the authority of its certificate is not trusted; name a file with the certificate of the authority (PEM) in NODE_EXTRA_CA_CERTS';

const NO_TLS =
  'the server does not use TLS on this port; write http:// instead of https://, or name the port on which it does';

/** Returns what is wrong with the TLS of a connection, and the remedy; undefined if the connection failed for another reason. */
export function tlsProblem(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  const code = String(error.code);
  if (UNTRUSTED.has(code)) return UNTRUSTED_CERTIFICATE;
  // OpenSSL reads the first bytes of a plain answer as the version of a TLS record.
  const isPlain = /wrong version number|packet length too long/.test(error.message);
  return isPlain || code === 'ERR_SSL_WRONG_VERSION_NUMBER' ? NO_TLS : undefined;
}
