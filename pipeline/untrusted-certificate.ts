/** Codes of Node for a certificate whose authority it does not know. */
const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** What is wrong, and the remedy: Node reads the file at its start. */
export const UNTRUSTED_CERTIFICATE =
  'the authority of its certificate is not trusted; name a file with the certificate of the authority (PEM) in NODE_EXTRA_CA_CERTS';

/** Returns whether a connection failed because the authority of the server's certificate is not trusted. */
export function isUntrustedCertificate(error: unknown): boolean {
  return error instanceof Error && 'code' in error && UNTRUSTED.has(String(error.code));
}
