/** Nettest groups as OONI Explorer has them; a test that is not listed counts as experimental. */
export const NETTEST_GROUPS: Readonly<Record<string, readonly string[]>> = {
  websites: ['web_connectivity', 'urlgetter', 'http_requests', 'http_host', 'dns_consistency', 'tcp_connect'],
  im: ['telegram', 'whatsapp', 'facebook_messenger', 'signal'],
  circumvention: ['tor', 'torsf', 'vanilla_tor', 'psiphon', 'riseupvpn', 'openvpn', 'bridge_reachability'],
  middlebox: ['http_invalid_request_line', 'http_header_field_manipulation'],
  performance: ['ndt', 'dash'],
};
