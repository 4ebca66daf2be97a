/**
 * Tests that compare two handshakes of the same measurement: echcheck with and without the extension ECH (OONI's ts-039), sni_blocking with
 * the name of the input and with another (ts-024), over connections to the same server.
 */

/** SQL of the condition that a row is of such a test. */
export const HAS_OWN_CONTROL = "test_name IN ('echcheck', 'sni_blocking')";

/**
 * SQL of the condition that a row of such a test is a control handshake that the server answered. Its certificate need not be valid for the
 * name.
 */
const IS_ANSWERED_CONTROL = `tls_network IS NOT NULL AND if(test_name = 'echcheck',
      ifNull(tls_echconfig, '') = '' AND tls_failure IS NULL,
      ifNull(target_id = 'control', 0) AND (tls_failure IS NULL OR startsWith(tls_failure, 'ssl_')))`;

/**
 * Failures that ts-024 calls interference. After a timeout it draws no conclusion, and a certificate for another name shows that the server
 * answered.
 */
const INTERFERENCES =
  "'connection_reset', 'connection_aborted', 'eof_error', 'ssl_unknown_authority', 'ssl_invalid_certificate'";

/** Returns the query for the measurements whose own control handshake was answered. */
export function answeredControls(within: string): string {
  return `SELECT measurement_uid FROM obs_web FINAL WHERE ${within} AND ${HAS_OWN_CONTROL} AND ${IS_ANSWERED_CONTROL}`;
}

/** SQL, over a row `o` of the observations, of whether its handshake failed, other than the control's. */
export const FAILED_UNLIKE_CONTROL = `o.has_own_control AND o.tls_failure IS NOT NULL AND if(o.test_name = 'echcheck',
      ifNull(o.tls_echconfig, '') != '',
      ifNull(o.target_id = 'target' AND o.tls_failure IN (${INTERFERENCES}), 0))`;
