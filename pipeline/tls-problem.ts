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

/** Returns whether a connection failed because the authority of the server's certificate is not trusted. */
export function isUntrustedCertificate(error: unknown): boolean {
  return error instanceof Error && 'code' in error && UNTRUSTED.has(String(error.code));
}

/** Returns what is wrong with the TLS of a connection, and the remedy; undefined if the connection failed for another reason. */
export function tlsProblem(error: unknown): string | undefined {
  if (isUntrustedCertificate(error)) return UNTRUSTED_CERTIFICATE;
  // OpenSSL reads the first bytes of a plain answer as the version and the length of a TLS record.
  const isPlain = error instanceof Error && /wrong version number|packet length too long/.test(error.message);
  return isPlain ? NO_TLS : undefined;
}
