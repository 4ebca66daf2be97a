import { connect, control, handshake, lookup, request, steps } from '../support/document.ts';
import { A, D, different, good, PAGE, STRANGE, same, secure, type UnusualCase, V6 } from './unusual-cases.ts';

/**
 * Failures that show nothing about the site (of the probe's own machine, of its clock, of a network that is lost behind a cache), lookups of one address family,
 * pages of other sites, and documents in unusual notations, with the right verdicts as in unusual-cases.ts.
 */

const H = 'a.example.org';
const INPUT = `https://${H}/`;
const CLEAR = `http://${H}/`;
/** A page of another site, whose certificate is valid for that site. */
const ELSEWHERE = 'block.example.net';

type Document = UnusualCase['documents'][number];

function one(name: string, document: Document, more: Partial<UnusualCase> = {}): UnusualCase {
  return { name, ...more, documents: [document] };
}

/** Both families of addresses. */
const DUAL = control({
  dns: [A, V6],
  tcp: { [`${A}:443`]: null, [`[${V6}]:443`]: null },
  tls: { [`${A}:443`]: null },
  name: H,
});

/** The site redirects from the clear to a page over TLS. */
function redirected(ip: string, host: string, body: string) {
  const of = { transaction_id: 6 };
  return steps(
    lookup(H, [ip]),
    connect(`${ip}:80`),
    lookup(host, [D], { transaction_id: 5 }),
    connect(`${D}:443`, null, of),
    handshake(`${D}:443`, host, null, of),
    request(`https://${host}/`, `${D}:443`, { body }, of),
    request(CLEAR, `${ip}:80`, { status: 302, body: '', headers: { Location: `https://${host}/` } }),
  );
}

/** A report in which the network is lost from the fifth measurement on; another probe shows that the sites work. */
function lostAfterFour(failure: string): Document[] {
  return Array.from({ length: 9 }, (_, n): Document[] => {
    const host = `s${n}.example.org`;
    const base = { input: `https://${host}/`, at: `10:${String(n).padStart(2, '0')}:00` };
    const fine = { ...base, steps: steps(lookup(host, [A]), secure(host)), control: good(host), right: 'ok' };
    if (n < 4) return [{ ...fine, report: 'r' }];
    const lost = {
      ...base,
      report: 'r',
      steps: steps(lookup(host, [A]), connect(`${A}:443`, failure)),
      right: 'unknown',
    };
    return [lost, { ...fine, cc: 'DE', report: `other ${n}` }];
  }).flat();
}

const REFUSED: Document = {
  input: INPUT,
  steps: steps(lookup(H, [A]), connect(`${A}:443`, 'connection_refused')),
  control: good(H),
  right: `blocked tcp ${H}`,
};
const EITHER = `${REFUSED.right}|recorded`;

/** A refused connect, in a document with a part in another notation. */
function notation(name: string, from: string | RegExp, to: string, right = REFUSED.right): UnusualCase {
  const edit = (line: string) => {
    const edited = line.replace(from, to);
    if (edited === line) throw new Error(`nothing to edit: ${name}`);
    return edited;
  };
  return one(name, { ...REFUSED, right, edit });
}

export const FAILURE_CASES: readonly UnusualCase[] = [
  // The probe's own machine.
  ...[
    'permission_denied',
    'operation_canceled',
    'interrupted',
    'address_family_not_supported',
    'address_not_available',
    'network_down',
    'no_buffer_space',
    'bad_file_descriptor',
    `unknown_failure: dial tcp ${A}:443: socket: too many open files`,
    'unknown_failure: context canceled',
  ].map(failure =>
    one(`the connect fails with ${failure}`, {
      input: INPUT,
      steps: steps(lookup(H, [A]), connect(`${A}:443`, failure)),
      control: good(H),
      right: 'unknown',
    }),
  ),
  ...[
    'interrupted',
    'network_down',
    'permission_denied',
    'network_unreachable',
    'unknown_failure: context canceled',
  ].map(failure =>
    one(`the lookup fails with ${failure}`, {
      input: INPUT,
      steps: lookup(H, failure),
      control: good(H),
      right: 'unknown',
    }),
  ),
  one('the handshake is interrupted', {
    input: INPUT,
    steps: steps(lookup(H, [A]), connect(`${A}:443`), handshake(`${A}:443`, H, 'interrupted')),
    control: good(H),
    right: 'unknown',
  }),
  one('the request is interrupted', {
    input: CLEAR,
    steps: steps(lookup(H, [A]), connect(`${A}:80`), request(CLEAR, `${A}:80`, 'interrupted')),
    control: good(H),
    right: 'unknown',
  }),
  one('the machine has no IPv6 address, and the page loads over IPv4', {
    input: INPUT,
    steps: steps(lookup(H, [A, V6]), connect(`[${V6}]:443`, 'address_not_available', { transaction_id: 8 }), secure(H)),
    control: DUAL,
    right: 'ok',
  }),
  one('a clock that is five years fast, and the certificate has expired for it', {
    input: INPUT,
    more: { measurement_start_time: '2029-05-01 10:00:00' },
    steps: steps(lookup(H, [A]), connect(`${A}:443`), handshake(`${A}:443`, H, 'ssl_invalid_certificate')),
    control: good(H),
    right: 'unknown',
  }),
  one('the clock is right, and the certificate has expired', {
    input: INPUT,
    steps: steps(lookup(H, [A]), connect(`${A}:443`), handshake(`${A}:443`, H, 'ssl_invalid_certificate')),
    control: good(H),
    right: `blocked tls ${H}`,
  }),
  ...['network_unreachable', 'network_down', 'host_unreachable', 'generic_timeout_error'].map(
    (failure): UnusualCase => ({
      name: `the network is lost, lookups are answered from a cache, and connects fail with ${failure}`,
      documents: lostAfterFour(failure),
    }),
  ),
  {
    name: 'sites in a row refuse, and lookups are answered: there is a network',
    documents: lostAfterFour('connection_refused').map((document, index) =>
      document.right === 'unknown'
        ? { ...document, right: `blocked tcp s${4 + (index - 4) / 2}.example.org` }
        : document,
    ),
  },
  one('a connect that neither succeeded nor failed', {
    input: INPUT,
    steps: steps(lookup(H, [A]), {
      tcp_connect: [{ ip: A, port: 443, status: { success: false, failure: null }, t: 0.2 }],
    }),
    control: good(H),
    right: 'unknown',
  }),

  // Lookups of one family.
  one('a site of IPv6 alone, looked up on a network of IPv4 alone', {
    input: INPUT,
    steps: lookup(H, 'dns_no_answer'),
    control: good(H, { ip: V6 }),
    right: 'unknown',
  }),
  one('a site of IPv6 alone has no address of IPv4, and loads', {
    input: INPUT,
    steps: steps(
      lookup(H, 'dns_no_answer', { query_type: 'A' }),
      lookup(H, [V6], { query_type: 'AAAA' }),
      secure(H, V6),
    ),
    control: good(H, { ip: V6 }),
    right: 'ok',
  }),
  one('a site of IPv6 alone has no address of IPv4, and the network has no IPv6', {
    input: INPUT,
    steps: steps(
      lookup(H, 'dns_no_answer', { query_type: 'A' }),
      lookup(H, [V6], { query_type: 'AAAA' }),
      connect(`[${V6}]:443`, 'network_unreachable'),
    ),
    control: good(H, { ip: V6 }),
    right: 'unknown',
  }),
  ...['A', 'ANY'].map(query_type =>
    one(`a site of IPv6 alone does not exist, says the resolver to ${query_type}`, {
      input: INPUT,
      steps: steps(
        lookup(H, 'dns_nxdomain_error', { query_type }),
        ...(query_type === 'A' ? [lookup(H, 'dns_nxdomain_error', { query_type: 'AAAA' })] : []),
      ),
      control: good(H, { ip: V6 }),
      right: `blocked dns ${H}`,
    }),
  ),
  ...['dns_nxdomain_error', 'dns_servfail_error', 'dns_refused_error', 'generic_timeout_error'].flatMap(failure => [
    one(`a site of IPv4 alone loads, and the lookup for IPv6 fails with ${failure}`, {
      input: INPUT,
      steps: steps(lookup(H, [A], { query_type: 'A' }), lookup(H, failure, { query_type: 'AAAA' }), secure(H)),
      control: good(H),
      right: 'ok',
    }),
    one(`both lookups of a site of IPv4 alone fail with ${failure}`, {
      input: INPUT,
      steps: steps(lookup(H, failure, { query_type: 'A' }), lookup(H, failure, { query_type: 'AAAA' })),
      control: good(H),
      right: `blocked dns ${H}`,
    }),
  ]),

  // Pages of other sites.
  one('a redirect in the clear to a page of another site over TLS, which is not that of the control', {
    input: CLEAR,
    steps: redirected(A, ELSEWHERE, STRANGE),
    control: good(H),
    keys: { ...different, blocking: false, accessible: true },
    right: 'unknown',
  }),
  one('a redirect in the clear to the page of the control on another site', {
    input: CLEAR,
    steps: redirected(A, 'b.example.net', PAGE),
    control: good(H),
    keys: { ...same, blocking: false, accessible: true },
    right: 'ok',
  }),
  one('without control, an answer that nothing vouches for leads to a page of another site', {
    input: CLEAR,
    steps: redirected(D, ELSEWHERE, STRANGE),
    right: 'unknown',
  }),
  one('without control, an answer leads to a page of the same site over TLS', {
    input: CLEAR,
    steps: redirected(D, `www.${H}`, PAGE),
    right: 'ok',
  }),
  one('a dead domain, hijacked to a search page over TLS', {
    input: CLEAR,
    steps: redirected(D, ELSEWHERE, STRANGE),
    control: control({
      dns: 'dns_nxdomain_error',
      http: 'dns_nxdomain_error',
      tcp: { [`${D}:80`]: null, [`${D}:443`]: null },
      tls: { [`${D}:443`]: 'ssl_invalid_hostname' },
      name: H,
    }),
    right: 'unknown|down',
  }),

  // Controls in unusual forms.
  one('the control’s failures are empty texts', {
    input: INPUT,
    steps: REFUSED.steps!,
    control: {
      dns: { failure: '', addrs: [A] },
      tcp_connect: { [`${A}:443`]: { status: true, failure: '' } },
      tls_handshake: { [`${A}:443`]: { status: true, failure: '', server_name: H } },
      http_request: { failure: '', status_code: 200, body_length: 10, title: '', headers: {} },
    },
    right: REFUSED.right,
  }),
  one('the control’s failures are missing', {
    input: INPUT,
    steps: REFUSED.steps!,
    control: { dns: { addrs: [A] }, tcp_connect: { [`${A}:443`]: { status: true } }, http_request: {} },
    right: REFUSED.right,
  }),
  one('the control’s connect did not succeed and has no failure', {
    input: INPUT,
    steps: REFUSED.steps!,
    control: { dns: { addrs: [A] }, tcp_connect: { [`${A}:443`]: { status: false, failure: null } } },
    right: 'unknown',
  }),

  // Addresses in place of hosts.
  ...[
    { name: 'translated for a network of IPv6 alone, after a lookup', queried: true, at: '[64:ff9b::808:404]:443' },
    { name: 'translated for a network of IPv6 alone', queried: false, at: '[64:ff9b::8.8.4.4]:443' },
    { name: 'as an IPv4-mapped address', queried: false, at: '[::ffff:808:404]:443' },
  ].map(({ name, queried, at }) =>
    one(
      `an address as input is refused: ${name}`,
      {
        input: 'https://8.8.4.4/',
        steps: steps(...(queried ? [lookup('8.8.4.4', ['64:ff9b::808:404'])] : []), connect(at, 'connection_refused')),
        control: control({ tcp: { '8.8.4.4:443': null }, tls: { '8.8.4.4:443': null }, name: '8.8.4.4' }),
        right: 'blocked tcp 8.8.4.4',
      },
      { apart: true },
    ),
  ),
  one(
    'an IPv6 address in three forms',
    {
      input: 'https://[2606:4700:4700::1111]/',
      steps: connect('[2606:4700:4700:0000:0000:0000:0000:1111]:443', 'connection_refused'),
      control: control({ tcp: { '[2606:4700:4700:0:0:0:0:1111]:443': null } }),
      right: 'blocked tcp 2606:4700:4700::1111',
    },
    { apart: true },
  ),

  // Documents in unusual notations.
  notation('a repeated key counts as it stands last', '"test_keys":', '"test_keys":{"queries":5},"test_keys":'),
  notation('a port as text', '"port":443', '"port":"443"'),
  notation('a success as 0', '"success":false', '"success":0'),
  notation(
    'a failure of Go as text',
    '"connection_refused"',
    `"unknown_failure: dial tcp ${A}:443: read: connection refused"`,
  ),
  notation('a negative time', '"t":0.2', '"t":-5'),
  notation('a time of 1e300', '"t":0.2', '"t":1e300'),
  notation('a time beyond a double', '"t":0.2', '"t":1e400', EITHER),
  notation('a time that is not a number', '"t":0.2', '"t":NaN', 'recorded'),
  notation('no times', '"t0":0.1,"t":0.2', '"t":null'),
  notation('a transaction beyond 32 bits', '"transaction_id":3', '"transaction_id":1099511627776', EITHER),
  notation('an address as mapped IPv6 in capitals', `"ip":"${A}"`, '"ip":"::FFFF:5DB8:D822"'),
  notation('a lone surrogate', '"miniooni"', '"\\ud800"', EITHER),
  notation('a pair of surrogates and a NUL', '"miniooni"', '"\\ud83d\\ude00\\u0000"'),
  notation('a mark of the byte order', /^/, '\ufeff', EITHER),
  notation(
    'a list of five thousand levels in an unknown key',
    '"annotations":',
    `"x":${'['.repeat(5000)}${']'.repeat(5000)},"annotations":`,
    EITHER,
  ),
  notation(
    'a text of three megabytes in an unknown key',
    '"annotations":',
    `"x":"${'y'.repeat(3_000_000)}","annotations":`,
  ),
  notation(
    'keys that are properties of objects',
    '"blocking":null',
    '"blocking":null,"constructor":{},"__proto__":{"queries":[]}',
  ),
  notation('an AS number of the resolver without AS', '"resolver_asn":"AS137"', '"resolver_asn":137'),
  notation('no AS number of the resolver', '"resolver_asn":"AS137"', '"resolver_asn":""'),
  notation('a boolean as AS number', '"probe_asn":"AS137"', '"probe_asn":true', 'recorded'),
  notation('a report id as number', /"report_id":"[^"]*"/, '"report_id":7'),
];
