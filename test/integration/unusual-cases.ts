import {
  type ControlOf,
  connect,
  control,
  type DocumentOf,
  handshake,
  lookup,
  request,
  type Steps,
  steps,
} from '../support/document.ts';

/**
 * Measurements of unusual forms, with the verdicts that the meaning of their steps in OONI's data formats demands. Each case has its own
 * hosts, so the measurements of a case are all that is known of them.
 */
export interface UnusualCase {
  readonly name: string;
  /** With IP databases: the test databases of MaxMind. */
  readonly networks?: true;
  /** The hosts or addresses are not of this case alone, so it needs a day of its own. */
  readonly apart?: true;
  readonly documents: readonly (Omit<DocumentOf, 'start'> & {
    /** HH:MM:SS */
    readonly at?: string;
    /**
     * Outcome, and where something is to blame: layer, host. Alternatives are separated with |. `recorded`: the measurement fails, with a
     * record.
     */
    readonly right: string;
    readonly confirmed?: boolean;
    readonly asn?: number;
    /** Edits the JSON of the document. */
    readonly edit?: (line: string) => string;
  })[];
}

/** Public addresses: of the site, and others. */
export const A = '93.184.216.34';
const B = '151.101.1.140';
const C = '104.16.132.229';
export const D = '130.192.182.17';
export const V6 = '2606:2800:220:1:248:1893:25c8:1946';
/** Of the test databases: AS1221, AS1221, AS15169, AS3320 */
const [TELSTRA, TELSTRA_2, GOOGLE, DTAG] = ['1.128.0.1', '1.130.7.7', '1.0.0.9', '31.224.5.5'] as const;

export const PAGE = '<html><head><title>A site</title></head><body>words</body></html>';
export const STRANGE = '<html><head><title>Other</title></head><body>other words</body></html>';
const page = { status: 200, body: PAGE };
export const same = { status_code_match: true, title_match: true, body_length_match: true, headers_match: true };
export const different = {
  status_code_match: false,
  title_match: false,
  body_length_match: false,
  headers_match: false,
};
/** A control that had no difficulty. */
export const good = (host: string, more: ControlOf & { ip?: string } = {}) => {
  const ip = more.ip ?? A;
  const of = (port: number) => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);
  return control({
    dns: [ip],
    tcp: { [of(80)]: null, [of(443)]: null },
    tls: { [of(443)]: null },
    name: host,
    ...more,
  });
};
/** Lookup, connect, handshake and page, all fine. */
export const secure = (host: string, ip = A, tx = 3): Steps => {
  const at = ip.includes(':') ? `[${ip}]:443` : `${ip}:443`;
  const id = { transaction_id: tx };
  return steps(connect(at, null, id), handshake(at, host, null, id), request(`https://${host}/`, at, page, id));
};

export const CASES: readonly UnusualCase[] = [
  // Failures without anything to compare with.
  ...(
    [
      'generic_timeout_error',
      'eof_error',
      'ssl_unknown_authority',
      'tls_handshake_failure',
      'unknown_failure: remote error: tls: unrecognized name',
    ] as const
  ).map(
    (failure): UnusualCase => ({
      name: `a handshake fails with ${failure}, and there is no control`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(
            lookup('a.example.org', [A]),
            connect(`${A}:443`),
            handshake(`${A}:443`, 'a.example.org', failure),
          ),
          right: 'unknown',
        },
      ],
    }),
  ),
  {
    name: 'a request fails, and there is no control',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          request('http://a.example.org/', `${A}:80`, 'eof_error'),
        ),
        right: 'unknown',
      },
    ],
  },
  {
    name: 'the control answered nothing and did not fail',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: lookup('a.example.org', 'dns_nxdomain_error'),
        control: control({ dns: [] }),
        right: 'unknown|down',
      },
    ],
  },
  {
    name: 'the control has no lookup, and a page of another content',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: lookup('a.example.org', 'dns_refused_error'),
        control: {},
        right: 'unknown',
      },
    ],
  },
  ...(
    [
      'dns_nxdomain_error',
      'dns_servfail_error',
      'dns_refused_error',
      'dns_lookup_error',
      'dns_no_answer',
      'generic_timeout_error',
      'unknown_error',
    ] as const
  ).flatMap((failure): UnusualCase[] => [
    {
      name: `the control's lookup fails with ${failure}, and the resolver answers with a search page`,
      documents: [
        {
          input: 'http://a.example.org/',
          steps: steps(
            lookup('a.example.org', [D]),
            connect(`${D}:80`),
            request('http://a.example.org/', `${D}:80`, { body: STRANGE }),
          ),
          control: control({ dns: failure, http: failure }),
          right: 'unknown|down',
        },
      ],
    },
    {
      name: `the control's lookup fails with ${failure}, as the probe's`,
      documents: [
        {
          input: 'http://a.example.org/',
          steps: lookup('a.example.org', 'dns_nxdomain_error'),
          control: control({ dns: failure, http: failure }),
          right: 'down',
        },
      ],
    },
  ]),
  {
    name: 'a dead domain, several resolvers, one of them hijacks',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [D]),
          lookup('a.example.org', 'dns_nxdomain_error', {
            engine: 'udp',
            resolver_address: '8.8.8.8:53',
            transaction_id: 2,
          }),
          lookup('a.example.org', 'dns_nxdomain_error', {
            engine: 'doh',
            resolver_address: 'https://dns.google/dns-query',
            transaction_id: 4,
          }),
          connect(`${D}:80`, 'connection_refused'),
        ),
        control: control({ dns: 'dns_nxdomain_error', http: 'dns_nxdomain_error', tcp: { [`${D}:80`]: null } }),
        right: 'unknown|down',
      },
    ],
  },
  {
    name: 'a dead domain, and the resolver answers with an address of the private network',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: lookup('a.example.org', ['10.11.12.13']),
        control: control({ dns: 'dns_nxdomain_error', http: 'dns_nxdomain_error' }),
        right: 'unknown|down',
      },
    ],
  },
  {
    name: 'a dead domain, and the resolver answers with a block page of the country',
    documents: [
      {
        input: 'http://a.example.org/',
        cc: 'BY',
        steps: lookup('a.example.org', ['134.17.0.7']),
        control: control({ dns: 'dns_nxdomain_error', http: 'dns_nxdomain_error' }),
        right: 'blocked dns a.example.org',
        confirmed: true,
      },
    ],
  },
  {
    name: 'an IPv4-mapped answer that is a block page of the country',
    documents: [
      {
        input: 'http://a.example.org/',
        cc: 'BY',
        steps: lookup('a.example.org', ['::ffff:134.17.0.7']),
        control: good('a.example.org'),
        right: 'blocked dns a.example.org',
        confirmed: true,
      },
    ],
  },
  {
    name: 'the block page of another country is not confirmed',
    documents: [
      {
        input: 'http://a.example.org/',
        cc: 'IT',
        steps: lookup('a.example.org', ['134.17.0.7']),
        control: good('a.example.org'),
        right: 'unknown|blocked dns a.example.org',
        confirmed: false,
      },
    ],
  },
  {
    name: 'a name that the control finds once of three times',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: lookup('a.example.org', 'dns_nxdomain_error'),
        control: control({ dns: 'dns_nxdomain_error', http: 'dns_nxdomain_error' }),
        right: 'down',
      },
      {
        input: 'http://a.example.org/',
        cc: 'DE',
        report: 'r2',
        steps: lookup('a.example.org', 'dns_nxdomain_error'),
        control: control({ dns: 'dns_nxdomain_error', http: 'dns_nxdomain_error' }),
        right: 'down',
      },
      {
        input: 'http://a.example.org/',
        cc: 'FR',
        report: 'r3',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          request('http://a.example.org/', `${A}:80`, page),
        ),
        control: good('a.example.org'),
        keys: same,
        right: 'ok',
      },
    ],
  },

  // Some addresses of a site.
  {
    name: 'one of three addresses is refused, and the page loads over another',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A, B, C]),
          connect(`${A}:443`, 'connection_refused', { transaction_id: 3 }),
          secure('a.example.org', B, 4),
          connect(`${C}:443`, null, { transaction_id: 5 }),
        ),
        control: control({
          dns: [A, B, C],
          tcp: { [`${A}:443`]: null, [`${B}:443`]: null, [`${C}:443`]: null },
          tls: { [`${A}:443`]: null, [`${B}:443`]: null },
        }),
        right: 'partly_blocked tcp a.example.org',
      },
    ],
  },
  {
    name: 'handshakes with one of two addresses are reset',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A, B]),
          connect(`${A}:443`, null, { transaction_id: 3 }),
          handshake(`${A}:443`, 'a.example.org', 'connection_reset'),
          secure('a.example.org', B, 4),
        ),
        control: control({
          dns: [A, B],
          tcp: { [`${A}:443`]: null, [`${B}:443`]: null },
          tls: { [`${A}:443`]: null, [`${B}:443`]: null },
        }),
        right: 'partly_blocked tls a.example.org',
      },
    ],
  },
  {
    name: 'IPv6 is refused, IPv4 loads',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A, V6]),
          connect(`[${V6}]:443`, 'connection_refused', { transaction_id: 3 }),
          secure('a.example.org', A, 4),
        ),
        control: control({
          dns: [A, V6],
          tcp: { [`${A}:443`]: null, [`[${V6}]:443`]: null },
          tls: { [`${A}:443`]: null, [`[${V6}]:443`]: null },
        }),
        right: 'partly_blocked tcp a.example.org',
      },
    ],
  },
  {
    name: 'a page in the clear loads over the second of two addresses',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A, B]),
          connect(`${A}:80`, 'generic_timeout_error', { transaction_id: 3 }),
          connect(`${B}:80`, null, { transaction_id: 4 }),
          request('http://a.example.org/', `${B}:80`, page, { transaction_id: 4 }),
        ),
        control: control({ dns: [A, B], tcp: { [`${A}:80`]: null, [`${B}:80`]: null } }),
        keys: same,
        right: 'partly_blocked tcp a.example.org',
      },
    ],
  },
  {
    name: 'the system resolver says NXDOMAIN, and the page loads with the answer of another resolver',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', 'dns_nxdomain_error'),
          lookup('a.example.org', [A], { engine: 'doh', transaction_id: 2 }),
          secure('a.example.org'),
        ),
        control: good('a.example.org'),
        right: 'blocked dns a.example.org',
      },
    ],
  },
  {
    name: 'a bogon beside the right address, over which the page loads',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', ['127.0.0.1', A]),
          connect('127.0.0.1:443', 'connection_refused', { transaction_id: 2 }),
          secure('a.example.org'),
        ),
        control: good('a.example.org'),
        right: 'partly_blocked dns a.example.org|ok',
      },
    ],
  },
  {
    name: 'a bogon beside the right address, and nothing loads',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', ['127.0.0.1', A]),
          connect('127.0.0.1:443', 'connection_refused', { transaction_id: 2 }),
          connect(`${A}:443`, 'connection_refused'),
        ),
        control: good('a.example.org'),
        right: 'blocked tcp a.example.org|blocked dns a.example.org',
      },
    ],
  },
  {
    name: 'a bogon beside the right address, and nothing else is known',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: lookup('a.example.org', ['0.0.0.0', A]),
        control: good('a.example.org'),
        right: 'ok|unknown|partly_blocked dns a.example.org|blocked dns a.example.org',
      },
    ],
  },
  {
    name: 'a bogon of the control too',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', ['192.168.1.7']), connect('192.168.1.7:443', 'generic_timeout_error')),
        control: control({
          dns: ['192.168.1.7'],
          tcp: { '192.168.1.7:443': 'generic_timeout_error' },
          http: 'generic_timeout_error',
        }),
        right: 'down',
      },
    ],
  },

  // Bogons.
  ...(
    [
      '0.0.0.0',
      '127.0.0.53',
      '10.10.34.34',
      '100.64.0.1',
      '169.254.10.1',
      '192.0.2.1',
      '198.18.0.7',
      '203.0.113.9',
      '240.0.0.1',
      '255.255.255.255',
      '224.0.0.5',
    ] as const
  ).map(
    (answer): UnusualCase => ({
      name: `the answer ${answer} is blocked and does not confirm`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(lookup('a.example.org', [answer]), connect(`${answer}:443`, 'generic_timeout_error')),
          control: good('a.example.org'),
          right: 'blocked dns a.example.org',
          confirmed: false,
        },
      ],
    }),
  ),
  ...(['::', '::1', 'fd00::1', 'fe80::1', '2001:db8::7', '100::1', 'FC00::A', '0:0:0:0:0:0:0:1'] as const).map(
    (answer): UnusualCase => ({
      name: `the answer ${answer} is blocked and does not confirm`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(lookup('a.example.org', [answer]), connect(`[${answer}]:443`, 'generic_timeout_error')),
          control: good('a.example.org', { ip: V6 }),
          right: 'blocked dns a.example.org',
          confirmed: false,
        },
      ],
    }),
  ),
  {
    name: 'the page loads over an address that a proxy on the machine made up',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', ['198.18.0.7']), secure('a.example.org', '198.18.0.7')),
        control: good('a.example.org'),
        right: 'ok',
      },
    ],
  },

  // Redirects.
  {
    name: 'the host of a redirect is refused, and only another measurement shows that it works',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:443`, null),
          handshake(`${A}:443`, 'a.example.org'),
          request('https://a.example.org/', `${A}:443`, {
            status: 302,
            body: '',
            headers: { Location: 'https://B.example.org./x' },
          }),
          lookup('b.example.org', [B], { transaction_id: 5 }),
          connect(`${B}:443`, 'connection_refused', { transaction_id: 6 }),
        ),
        control: good('a.example.org'),
        right: 'blocked tcp b.example.org',
      },
      {
        input: 'https://b.example.org/',
        cc: 'DE',
        report: 'r2',
        steps: steps(lookup('b.example.org', [B]), secure('b.example.org', B)),
        control: good('b.example.org', { ip: B }),
        right: 'ok',
      },
    ],
  },
  {
    name: 'the third host of a chain of redirects is reset',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          request('http://a.example.org/', `${A}:80`, {
            status: 301,
            body: '',
            headers: { location: 'https://b.example.org/' },
          }),
          lookup('b.example.org', [B], { transaction_id: 4 }),
          connect(`${B}:443`, null, { transaction_id: 5 }),
          handshake(`${B}:443`, 'b.example.org', null, { transaction_id: 5 }),
          request(
            'https://b.example.org/',
            `${B}:443`,
            { status: 302, body: '', headers: { LOCATION: 'https://c.example.org/' } },
            { transaction_id: 5 },
          ),
          lookup('c.example.org', [C], { transaction_id: 6 }),
          connect(`${C}:443`, null, { transaction_id: 7 }),
          handshake(`${C}:443`, 'c.example.org', 'connection_reset', { transaction_id: 7 }),
        ),
        control: good('a.example.org'),
        right: 'blocked tls c.example.org',
      },
      {
        input: 'https://c.example.org/',
        cc: 'DE',
        report: 'r2',
        steps: steps(lookup('c.example.org', [C]), secure('c.example.org', C)),
        control: good('c.example.org', { ip: C }),
        right: 'ok',
      },
    ],
  },
  {
    name: 'the host of a redirect does not exist for anybody',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:443`, null),
          handshake(`${A}:443`, 'a.example.org'),
          request('https://a.example.org/', `${A}:443`, {
            status: 302,
            body: '',
            headers: { Location: 'https://b.example.org/' },
          }),
          lookup('b.example.org', 'dns_nxdomain_error', { transaction_id: 5 }),
        ),
        control: good('a.example.org', { http: 'dns_nxdomain_error' }),
        right: 'unknown|down',
      },
    ],
  },
  {
    name: 'a redirect to a block page of the country, which loads over TLS',
    documents: [
      {
        input: 'http://a.example.org/',
        cc: 'BY',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          lookup('internet.mts.by', [D], { transaction_id: 5 }),
          secure('internet.mts.by', D, 6),
          request('http://a.example.org/', `${A}:80`, {
            status: 302,
            body: '',
            headers: { Location: 'https://internet.mts.by/blocked/' },
          }),
        ),
        control: good('a.example.org'),
        keys: different,
        right: 'blocked http a.example.org',
        confirmed: true,
      },
    ],
  },
  {
    name: 'the block page is known by the header alone, given as a binary value in the map',
    documents: [
      {
        input: 'http://a.example.org/',
        cc: 'AE',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          request('http://a.example.org/', `${A}:80`, {
            status: 200,
            body: STRANGE,
            headers: {
              SERVER: { format: 'base64', data: Buffer.from('Protected by WireFilter 9000').toString('base64') },
            },
          }),
        ),
        control: good('a.example.org'),
        keys: different,
        right: 'blocked http a.example.org',
        confirmed: true,
      },
    ],
  },
  {
    name: 'the same header in another country does not confirm',
    documents: [
      {
        input: 'http://a.example.org/',
        cc: 'IT',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          request('http://a.example.org/', `${A}:80`, {
            status: 200,
            body: STRANGE,
            headers_list: [['Server', 'Protected by WireFilter 9000']],
          }),
        ),
        control: good('a.example.org'),
        keys: different,
        right: 'blocked http a.example.org',
        confirmed: false,
      },
    ],
  },
  {
    name: 'the same header of a site over TLS is its own',
    documents: [
      {
        input: 'https://a.example.org/',
        cc: 'AE',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:443`),
          handshake(`${A}:443`, 'a.example.org'),
          request('https://a.example.org/', `${A}:443`, {
            status: 200,
            body: PAGE,
            headers_list: [['Server', 'Protected by WireFilter 9000']],
          }),
        ),
        control: good('a.example.org'),
        keys: same,
        right: 'ok',
        confirmed: false,
      },
    ],
  },
  {
    name: 'a redirect to a product’s block page',
    documents: [
      {
        input: 'http://a.example.org/',
        cc: 'FI',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          request('http://a.example.org/', `${A}:80`, {
            status: 302,
            body: '',
            headers_list: [['location', 'https://block.opendns.com/?url=x']],
          }),
        ),
        control: good('a.example.org'),
        right: 'blocked http a.example.org',
        confirmed: true,
      },
    ],
  },

  // Without and with IP databases.
  {
    name: 'a content network answers with another address, and there is no IP database',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', [B]), connect(`${B}:443`, 'generic_timeout_error')),
        control: good('a.example.org'),
        right: 'unknown',
      },
    ],
  },
  {
    name: 'a content network answers with another address, without IP database, and a page loads in the clear',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [B]),
          connect(`${B}:80`),
          request('http://a.example.org/', `${B}:80`, page),
        ),
        control: good('a.example.org'),
        keys: same,
        right: 'ok',
      },
    ],
  },
  {
    name: 'a content network answers with another address, without IP database, and a page loads over TLS',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', [B]), secure('a.example.org', B)),
        control: good('a.example.org'),
        right: 'ok',
      },
    ],
  },
  {
    name: 'a content network answers with another address, without IP database, which the test helper reached and the probe did not',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', [B]), connect(`${B}:443`, 'connection_refused')),
        control: control({
          dns: [A],
          tcp: { [`${A}:443`]: null, [`${B}:443`]: null },
          tls: { [`${A}:443`]: null, [`${B}:443`]: null },
        }),
        right: 'blocked tcp a.example.org',
      },
    ],
  },
  {
    name: 'an answer in the network of the control’s',
    networks: true,
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', [TELSTRA_2])),
        control: good('a.example.org', { ip: TELSTRA }),
        right: 'ok',
      },
    ],
  },
  {
    name: 'an answer in another network',
    networks: true,
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', [DTAG]), connect(`${DTAG}:443`, 'generic_timeout_error')),
        control: good('a.example.org', { ip: TELSTRA }),
        right: 'blocked dns a.example.org',
        confirmed: false,
      },
    ],
  },
  {
    name: 'an answer in another network that proves itself',
    networks: true,
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', [DTAG]), secure('a.example.org', DTAG)),
        control: good('a.example.org', { ip: TELSTRA }),
        right: 'ok',
      },
    ],
  },
  {
    name: 'an answer that the IP databases do not know',
    networks: true,
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', [B]), connect(`${B}:443`, 'generic_timeout_error')),
        control: good('a.example.org', { ip: TELSTRA }),
        right: 'unknown',
      },
    ],
  },
  {
    name: 'an answer in a known network, and a control that the IP databases do not know',
    networks: true,
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', [TELSTRA]), connect(`${TELSTRA}:443`, 'generic_timeout_error')),
        control: good('a.example.org', { ip: B }),
        right: 'unknown',
      },
    ],
  },
  {
    name: 'one of two answers is in the network of the control',
    networks: true,
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', [GOOGLE, TELSTRA_2])),
        control: good('a.example.org', { ip: TELSTRA }),
        right: 'ok',
      },
    ],
  },
  {
    name: 'a translated address in the network of the control',
    networks: true,
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', ['64:ff9b::182:707'])),
        control: good('a.example.org', { ip: TELSTRA }),
        right: 'ok',
      },
    ],
  },
  {
    name: 'a translated address in another network',
    networks: true,
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', ['64:ff9b::1fe0:505']),
          connect('[64:ff9b::1fe0:505]:443', 'generic_timeout_error'),
        ),
        control: good('a.example.org', { ip: TELSTRA }),
        right: 'blocked dns a.example.org',
      },
    ],
  },

  // Addresses behind NAT64, in several notations and behind prefixes of a network. 93.184.216.34 is 5db8:d822.
  ...(
    [
      '64:FF9B::5DB8:D822',
      '0064:ff9b:0000:0000:0000:0000:5db8:d822',
      '64:ff9b::93.184.216.34',
      '64:ff9b:1::5db8:d822',
      '2a01:db8:1:2:3:4:5db8:d822',
      '2a01:db8:122:344:5d:b8d8:2200:0',
      '2a01:db8:122:35d:b8:d822::',
      '2a01:db8:122:5db8:d8:2200::',
      '2a01:db8:15d:b8d8:22::',
      '2a01:db8:5db8:d822::',
      '::ffff:93.184.216.34',
      '::FFFF:5db8:d822',
      '0:0:0:0:0:ffff:5db8:d822',
    ] as const
  ).flatMap((answer): UnusualCase[] => [
    {
      name: `${answer} contains the control’s address, and a page loads`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(lookup('a.example.org', [answer]), secure('a.example.org', answer)),
          control: good('a.example.org'),
          right: 'ok',
        },
      ],
    },
    {
      name: `${answer} contains the control’s address, and the connect is reset`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(lookup('a.example.org', [answer]), connect(`[${answer}]:443`, 'connection_reset')),
          control: good('a.example.org'),
          right: 'blocked tcp a.example.org',
        },
      ],
    },
    {
      name: `${answer} contains the control’s address, and the handshake is reset`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(
            lookup('a.example.org', [answer]),
            connect(`[${answer}]:443`),
            handshake(`[${answer}]:443`, 'a.example.org', 'connection_reset'),
          ),
          control: good('a.example.org'),
          right: 'blocked tls a.example.org',
        },
      ],
    },
  ]),
  ...(['64:ff9b::a0a:2222', '64:ff9b::7f00:1', '64:ff9b:1::a00:1', '::ffff:127.0.0.1', '::ffff:0:0'] as const).map(
    (answer): UnusualCase => ({
      name: `${answer} contains an address that cannot be on the internet`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(lookup('a.example.org', [answer]), connect(`[${answer}]:443`, 'generic_timeout_error')),
          control: good('a.example.org'),
          right: 'blocked dns a.example.org',
          confirmed: false,
        },
      ],
    }),
  ),
  {
    name: 'the prefix of the network is known from ipv4only.arpa',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('ipv4only.arpa', ['2a01:db8:9:9:9:9:192.0.0.170']),
          lookup('a.example.org', ['2a01:db8:9:9:9:9:5db8:d822'], { transaction_id: 2 }),
          connect('[2a01:db8:9:9:9:9:5db8:d822]:443', 'connection_refused'),
        ),
        control: good('a.example.org'),
        right: 'blocked tcp a.example.org',
      },
    ],
  },

  // Names in several notations.
  ...(
    [
      ['https://A.EXAMPLE.ORG/', 'a.example.org', 'A.Example.Org', 'a.example.org'],
      ['https://a.example.org./', 'a.example.org.', 'a.example.org', 'a.example.org'],
      ['https://a.example.org/', 'a.EXAMPLE.oRg', 'a.example.org.', 'a.example.org'],
      ['https://a.example.org:443/x?y#z', 'a.example.org', 'a.example.org', 'a.example.org'],
      ['https://user:pass@a.example.org/', 'a.example.org', 'a.example.org', 'a.example.org'],
      ['HTTPS://a.example.org', 'a.example.org', 'a.example.org', 'a.example.org'],
      ['https://a_b.example.org/', 'a_b.example.org', 'a_b.example.org', 'a_b.example.org'],
      [
        'https://пример.example.org/',
        'xn--e1afmkfd.example.org',
        'xn--e1afmkfd.example.org',
        'xn--e1afmkfd.example.org',
      ],
      ['https://ПРИМЕР.example.org/', 'пример.example.org', 'xn--e1afmkfd.example.org', 'xn--e1afmkfd.example.org'],
      [
        'https://XN--E1AFMKFD.example.org/',
        'xn--e1afmkfd.example.org',
        'пример.example.org',
        'xn--e1afmkfd.example.org',
      ],
      [
        'https://%D0%BF%D1%80%D0%B8%D0%BC%D0%B5%D1%80.example.org/',
        'xn--e1afmkfd.example.org',
        'xn--e1afmkfd.example.org',
        'xn--e1afmkfd.example.org',
      ],
      ['https://bücher.example.org/', 'xn--bcher-kva.example.org', 'BÜCHER.example.org', 'xn--bcher-kva.example.org'],
      [
        'https://日本語。example.org/',
        'xn--wgv71a119e.example.org',
        'xn--wgv71a119e.example.org',
        'xn--wgv71a119e.example.org',
      ],
      [' https://a.example.org/\n', 'a.example.org', 'a.example.org', 'a.example.org'],
    ] as const
  ).flatMap(([input, queried, named, host]): UnusualCase[] => [
    {
      name: `${JSON.stringify(input)}, looked up as ${queried}, does not resolve`,
      documents: [
        { input, steps: lookup(queried, 'dns_nxdomain_error'), control: good(named), right: `blocked dns ${host}` },
      ],
    },
    {
      name: `${JSON.stringify(input)}, with the server name ${named}, is reset`,
      documents: [
        {
          input,
          steps: steps(
            lookup(queried, [A]),
            connect(`${A}:443`),
            handshake(`${A}:443`, named, 'connection_reset'),
            request(input, `${A}:443`, 'connection_reset'),
          ),
          control: good(named),
          right: `blocked tls ${host}`,
        },
      ],
    },
    {
      name: `${JSON.stringify(input)}, with the server name ${named}, loads`,
      documents: [
        {
          input,
          steps: steps(
            lookup(queried, [A]),
            connect(`${A}:443`),
            handshake(`${A}:443`, named),
            request(input, `${A}:443`, page),
          ),
          control: good(named),
          right: 'ok',
        },
      ],
    },
  ]),

  // Addresses in place of hosts.
  ...(
    [
      ['http://8.8.4.4:8080/', '8.8.4.4', 8080],
      ['https://1.1.1.1/dns-query', '1.1.1.1', 443],
      ['https://[2606:4700:4700::1111]/', '2606:4700:4700::1111', 443],
      ['https://[2606:4700:4700:0:0:0:0:1111]:8443/', '2606:4700:4700::1111', 8443],
      ['http://[2606:4700:4700::0001:1111]:80', '2606:4700:4700::1:1111', 80],
      ['http://[2001:DB9::A]/', '2001:db9::a', 80],
    ] as const
  ).flatMap(([input, ip, port]): UnusualCase[] => {
    const at = ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
    return [
      {
        name: `${input} is refused`,
        apart: true,
        documents: [
          {
            input,
            steps: connect(at, 'connection_refused'),
            control: control({ tcp: { [at]: null }, ...(port === 443 && { tls: { [at]: null } }) }),
            right: `blocked tcp ${ip}`,
          },
        ],
      },
      {
        name: `${input} is down`,
        apart: true,
        documents: [
          {
            input,
            steps: connect(at, 'generic_timeout_error'),
            control: control({ tcp: { [at]: 'generic_timeout_error' }, http: 'generic_timeout_error' }),
            right: ip.includes(':') ? 'down|unknown' : 'down',
          },
        ],
      },
    ];
  }),

  // A probe that loses its network.
  ...(['start', 'middle', 'end'] as const).flatMap((where): UnusualCase[] =>
    (['dns', 'tcp', 'android', 'unreachable'] as const).map(how => {
      const lost = { start: [0, 4], middle: [4, 8], end: [8, 12] }[where];
      const isLost = (n: number) => n >= lost[0]! && n < lost[1]!;
      const failed = (host: string) =>
        ({
          dns: lookup(host, 'generic_timeout_error'),
          tcp: steps(lookup(host, 'dns_server_misbehaving'), connect(`${A}:443`, 'network_unreachable')),
          android: lookup(host, 'android_dns_cache_no_data'),
          unreachable: steps(lookup(host, 'dns_lookup_error'), connect(`${A}:443`, 'host_unreachable')),
        })[how];
      return {
        name: `the network is lost at the ${where} of a report: ${how}`,
        documents: Array.from({ length: 12 }, (_, n) => {
          const host = `s${n}.example.org`;
          const at = `10:${String(n).padStart(2, '0')}:00`;
          const input = `https://${host}/`;
          return isLost(n)
            ? [
                { input, at, report: 'r', steps: failed(host), right: 'unknown' },
                {
                  input,
                  at,
                  cc: 'DE',
                  report: `other ${n}`,
                  steps: steps(lookup(host, [A]), secure(host)),
                  control: good(host),
                  right: 'ok',
                },
              ]
            : [
                {
                  input,
                  at,
                  report: 'r',
                  steps: steps(lookup(host, [A]), secure(host)),
                  control: good(host),
                  right: 'ok',
                },
              ];
        }).flat(),
      };
    }),
  ),
  {
    name: 'the network is lost, each measurement has its own report, and the probe has an id',
    documents: Array.from({ length: 8 }, (_, n) => {
      const host = `s${n}.example.org`;
      const base = { input: `https://${host}/`, at: `10:${String(n).padStart(2, '0')}:00` };
      const more = { probe_id: 'probe-7' };
      return n < 4
        ? [
            { ...base, report: `r${n}`, more, steps: lookup(host, 'dns_nxdomain_error'), right: 'unknown' },
            {
              ...base,
              cc: 'DE',
              report: `o${n}`,
              steps: steps(lookup(host, [A]), secure(host)),
              control: good(host),
              right: 'ok',
            },
          ]
        : [
            {
              ...base,
              report: `r${n}`,
              more,
              steps: steps(lookup(host, [A]), secure(host)),
              control: good(host),
              right: 'ok',
            },
          ];
    }).flat(),
  },
  {
    name: 'many blocked sites in a row, with a control each, are blocked',
    documents: Array.from({ length: 8 }, (_, n) => {
      const host = `s${n}.example.org`;
      return {
        input: `https://${host}/`,
        at: `10:${String(n).padStart(2, '0')}:00`,
        report: 'r',
        steps: lookup(host, 'dns_nxdomain_error'),
        control: good(host),
        right: `blocked dns ${host}`,
      };
    }),
  },

  // Ids of transactions.
  {
    name: 'a certificate for the block page’s name, without ids, does not vouch for the site',
    documents: [
      {
        input: 'https://a.example.org/',
        more: { test_version: '0.4.1' },
        steps: steps(
          lookup('a.example.org', [D], { transaction_id: 0, engine: 'system' }),
          connect(`${D}:443`, null, { transaction_id: 0 }),
          handshake(`${D}:443`, 'block.example.org', null, { transaction_id: 0 }),
        ),
        control: control({
          dns: [A],
          tcp: { [`${A}:443`]: null, [`${D}:443`]: null },
          tls: { [`${A}:443`]: null, [`${D}:443`]: 'ssl_invalid_hostname' },
          name: 'a.example.org',
        }),
        right: 'blocked dns a.example.org',
      },
    ],
  },
  {
    name: 'one id for connects to two addresses: the refused one is not the one that loads',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A, B]),
          connect(`${A}:443`, 'connection_refused'),
          connect(`${B}:443`),
          handshake(`${B}:443`, 'a.example.org'),
          request('https://a.example.org/', `${B}:443`, page),
        ),
        control: control({
          dns: [A, B],
          tcp: { [`${A}:443`]: null, [`${B}:443`]: null },
          tls: { [`${A}:443`]: null, [`${B}:443`]: null },
        }),
        right: 'partly_blocked tcp a.example.org',
      },
    ],
  },
  {
    name: 'ids as text, and of the lookup equal to that of another connection',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', [D], { transaction_id: '7' }),
          lookup('block.example.org', [D], { transaction_id: '8' }),
          connect(`${D}:443`, null, { transaction_id: '7' }),
          handshake(`${D}:443`, 'block.example.org', null, { transaction_id: '7' }),
          request('https://block.example.org/', `${D}:443`, { body: STRANGE }, { transaction_id: '7' }),
        ),
        control: control({
          dns: [A],
          tcp: { [`${A}:443`]: null, [`${D}:443`]: null },
          tls: { [`${A}:443`]: null, [`${D}:443`]: 'ssl_invalid_hostname' },
          name: 'a.example.org',
        }),
        right: 'blocked dns a.example.org',
      },
    ],
  },
  {
    name: 'QUIC is blocked, and the page loads over TCP',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A]),
          secure('a.example.org'),
          handshake(`${A}:443`, 'a.example.org', 'generic_timeout_error', { network: 'quic', transaction_id: 9 }),
          request('https://a.example.org/', `${A}:443`, 'generic_timeout_error', {
            network: 'quic',
            transaction_id: 9,
          }),
        ),
        control: good('a.example.org'),
        right: 'ok|partly_blocked tls a.example.org',
      },
    ],
  },
  {
    name: 'the page loads over QUIC, and TCP is refused',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:443`, 'connection_refused'),
          handshake(`${A}:443`, 'a.example.org', null, { network: 'quic', transaction_id: 9 }),
          request('https://a.example.org/', `${A}:443`, page, { network: 'quic', transaction_id: 9 }),
        ),
        control: good('a.example.org'),
        right: 'partly_blocked tcp a.example.org',
      },
    ],
  },
  {
    name: 'a handshake that does not verify certificates vouches for nothing',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', [D]),
          connect(`${D}:443`),
          handshake(`${D}:443`, 'a.example.org', null, { no_tls_verify: true }),
        ),
        control: control({
          dns: [A],
          tcp: { [`${A}:443`]: null, [`${D}:443`]: null },
          tls: { [`${A}:443`]: null, [`${D}:443`]: 'ssl_unknown_authority' },
          name: 'a.example.org',
        }),
        right: 'blocked dns a.example.org',
      },
    ],
  },
  {
    name: 'a handshake with the address in place of a server name vouches for no host',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(lookup('a.example.org', [D]), connect(`${D}:443`), handshake(`${D}:443`, D)),
        control: control({
          dns: [A],
          tcp: { [`${A}:443`]: null, [`${D}:443`]: null },
          tls: { [`${A}:443`]: null, [`${D}:443`]: 'ssl_invalid_hostname' },
          name: 'a.example.org',
        }),
        right: 'blocked dns a.example.org',
      },
    ],
  },

  // The site itself refuses.
  {
    name: 'status 451 in the clear, for the control too',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          request('http://a.example.org/', `${A}:80`, { status: 451, body: STRANGE }),
        ),
        control: good('a.example.org', { http: { status_code: 451, title: 'Other' } }),
        keys: same,
        right: 'refused',
      },
    ],
  },
  {
    name: 'status 451 in the clear, and the control got the page',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          request('http://a.example.org/', `${A}:80`, { status: 451, body: STRANGE }),
        ),
        control: good('a.example.org'),
        keys: different,
        right: 'blocked http a.example.org',
      },
    ],
  },
  {
    name: 'status 403 over TLS, and the control got the page',
    documents: [
      {
        input: 'https://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:443`),
          handshake(`${A}:443`, 'a.example.org'),
          request('https://a.example.org/', `${A}:443`, { status: 403, body: STRANGE }),
        ),
        control: good('a.example.org'),
        keys: different,
        right: 'refused',
      },
    ],
  },
  ...(['cloudflare', 'Sucuri/Cloudproxy', 'DDoS-Guard', 'AkamaiGHost', 'CloudFront'] as const).map(
    (server): UnusualCase => ({
      name: `a question for proofs in the clear, by ${server}`,
      documents: [
        {
          input: 'http://a.example.org/',
          steps: steps(
            lookup('a.example.org', [A]),
            connect(`${A}:80`),
            request('http://a.example.org/', `${A}:80`, { status: 403, body: STRANGE, headers: { sErVeR: server } }),
          ),
          control: good('a.example.org'),
          keys: different,
          right: 'unknown',
        },
      ],
    }),
  ),
  {
    name: 'a page of errors in the clear is not a block page',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          request('http://a.example.org/', `${A}:80`, { status: 503, body: STRANGE }),
        ),
        control: good('a.example.org'),
        keys: different,
        right: 'unknown',
      },
    ],
  },
  {
    name: 'the block page’s text in the page that the control got too',
    documents: [
      {
        input: 'http://a.example.org/',
        cc: 'IT',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          request('http://a.example.org/', `${A}:80`, {
            body: '<html><head><title>AGCOM Stop Page</title></head></html>',
          }),
        ),
        control: good('a.example.org', { http: { title: 'AGCOM Stop Page' } }),
        keys: same,
        right: 'ok',
        confirmed: false,
      },
    ],
  },
  {
    name: 'a redirect in the clear whose target is not known',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [A]),
          connect(`${A}:80`),
          request('http://a.example.org/', `${A}:80`, { status: 302, body: '' }),
        ),
        control: good('a.example.org'),
        right: 'ok|unknown',
      },
    ],
  },

  // Messengers of which one service is blocked.
  {
    name: 'Telegram: one data centre of five responds',
    documents: [
      {
        test: 'telegram',
        steps: steps(
          ...['149.154.175.50', '149.154.167.51', '149.154.175.100', '149.154.167.91'].map((ip, n) =>
            connect(`${ip}:80`, 'generic_timeout_error', { transaction_id: n + 1 }),
          ),
          connect('149.154.171.5:443', null, { transaction_id: 8 }),
          request('http://149.154.171.5:443/', '149.154.171.5:443', { status: 501, body: '' }, { transaction_id: 8 }),
          lookup('web.telegram.org', ['149.154.167.99'], { transaction_id: 9 }),
          secure('web.telegram.org', '149.154.167.99', 10),
        ),
        right: 'ok',
      },
    ],
  },
  {
    name: 'Telegram: the web site alone is blocked',
    documents: [
      {
        test: 'telegram',
        steps: steps(
          connect('149.154.175.50:443', null, { transaction_id: 8 }),
          request('http://149.154.175.50:443/', '149.154.175.50:443', { status: 501, body: '' }, { transaction_id: 8 }),
          lookup('Web.Telegram.org', 'dns_nxdomain_error', { transaction_id: 9 }),
          request('https://web.telegram.org/', '', 'dns_nxdomain_error', { address: undefined, transaction_id: 9 }),
        ),
        right: 'blocked dns web.telegram.org',
      },
    ],
  },
  {
    name: 'Telegram: nothing is reached, and nothing shows a network',
    documents: [
      {
        test: 'telegram',
        steps: steps(
          ...['149.154.175.50', '149.154.167.51'].map((ip, n) =>
            connect(`${ip}:80`, 'generic_timeout_error', { transaction_id: n + 1 }),
          ),
          lookup('web.telegram.org', 'generic_timeout_error', { transaction_id: 9 }),
        ),
        right: 'unknown',
      },
    ],
  },
  {
    name: 'Signal: one host is reset in the handshake',
    documents: [
      {
        test: 'signal',
        more: { test_version: '0.2.5' },
        steps: steps(
          lookup('storage.signal.org', ['142.250.180.83'], { transaction_id: 1 }),
          connect('142.250.180.83:443', null, { transaction_id: 2 }),
          handshake('142.250.180.83:443', 'storage.signal.org', 'connection_reset', { transaction_id: 2 }),
          lookup('cdn.signal.org', ['18.164.52.1'], { transaction_id: 4 }),
          connect('18.164.52.1:443', null, { transaction_id: 5 }),
          handshake('18.164.52.1:443', 'cdn.signal.org', null, { transaction_id: 5, peer_certificates: [] }),
          request('https://cdn.signal.org/', '18.164.52.1:443', { status: 404, body: '' }, { transaction_id: 5 }),
        ),
        right: 'blocked tls storage.signal.org',
      },
    ],
  },
  {
    name: 'Facebook Messenger: one host has an answer of the private network',
    documents: [
      {
        test: 'facebook_messenger',
        steps: steps(
          lookup('star.c10r.facebook.com', ['10.10.34.36'], { transaction_id: 1 }),
          connect('10.10.34.36:443', 'generic_timeout_error', { transaction_id: 1 }),
          lookup('b-api.facebook.com', ['157.240.20.35'], { transaction_id: 2 }),
          connect('157.240.20.35:443', null, { transaction_id: 2 }),
        ),
        right: 'blocked dns star.c10r.facebook.com',
      },
    ],
  },
  {
    name: 'WhatsApp: the registration service alone is refused',
    documents: [
      {
        test: 'whatsapp',
        steps: steps(
          lookup('v.whatsapp.net', ['157.240.20.35'], { transaction_id: 1 }),
          connect('157.240.20.35:443', 'connection_refused', { transaction_id: 1 }),
          lookup('web.whatsapp.com', ['157.240.20.36'], { transaction_id: 2 }),
          secure('web.whatsapp.com', '157.240.20.36', 3),
        ),
        right: 'blocked tcp v.whatsapp.net',
      },
    ],
  },

  // A page in the clear that is that of the control.
  {
    name: 'an answer in another network, over which the page of the control loads in the clear',
    networks: true,
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [DTAG]),
          connect(`${DTAG}:80`),
          request('http://a.example.org/', `${DTAG}:80`, page),
        ),
        control: good('a.example.org', { ip: TELSTRA }),
        keys: same,
        right: 'ok',
      },
    ],
  },
  {
    name: 'an answer in another network, over which another page loads in the clear',
    networks: true,
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [DTAG]),
          connect(`${DTAG}:80`),
          request('http://a.example.org/', `${DTAG}:80`, { body: STRANGE }),
        ),
        control: good('a.example.org', { ip: TELSTRA }),
        keys: different,
        right: 'blocked dns a.example.org',
      },
    ],
  },
  {
    name: 'an old probe, an answer in another network, and the page of the control without its address',
    networks: true,
    documents: [
      {
        input: 'http://a.example.org/',
        more: { test_version: '0.4.1' },
        steps: steps(
          lookup('a.example.org', [DTAG], { engine: 'system', transaction_id: 0 }),
          connect(`${DTAG}:80`, null, { transaction_id: 0 }),
          request('http://a.example.org/', '', page, { address: undefined, transaction_id: 0 }),
        ),
        control: good('a.example.org', { ip: TELSTRA }),
        keys: { ...same, blocking: false, accessible: true },
        right: 'ok',
      },
    ],
  },
  {
    name: 'a bogon, over which the page of the control loads through a proxy',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', ['198.18.0.7']),
          connect('198.18.0.7:80'),
          request('http://a.example.org/', '198.18.0.7:80', page),
        ),
        control: good('a.example.org'),
        keys: same,
        right: 'ok',
      },
    ],
  },
  {
    name: 'a bogon, over which another page loads',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', ['10.10.34.35']),
          connect('10.10.34.35:80'),
          request('http://a.example.org/', '10.10.34.35:80', { body: STRANGE }),
        ),
        control: good('a.example.org'),
        keys: different,
        right: 'blocked dns a.example.org',
      },
    ],
  },
  {
    name: 'the page loads after a redirect to another host, over an address that nothing vouches for',
    networks: true,
    documents: [
      {
        input: 'http://a.example.org/',
        steps: steps(
          lookup('a.example.org', [DTAG]),
          connect(`${DTAG}:80`),
          lookup('b.example.org', [GOOGLE], { transaction_id: 5 }),
          connect(`${GOOGLE}:80`, null, { transaction_id: 6 }),
          request('http://b.example.org/', `${GOOGLE}:80`, page, { transaction_id: 6 }),
          request('http://a.example.org/', `${DTAG}:80`, {
            status: 302,
            body: '',
            headers: { Location: 'http://b.example.org/' },
          }),
        ),
        control: good('a.example.org', { ip: TELSTRA }),
        keys: same,
        right: 'blocked dns a.example.org|ok',
      },
    ],
  },

  ...(['https', 'http'] as const).map(
    (scheme): UnusualCase => ({
      name: `a probe without addresses of requests, an answer in another network, and the page after a redirect over ${scheme}`,
      networks: true,
      documents: [
        {
          input: 'http://a.example.org/',
          more: { test_version: '0.4.1' },
          steps: steps(
            lookup('a.example.org', [DTAG], { engine: 'system', transaction_id: 0 }),
            connect(`${DTAG}:80`, null, { transaction_id: 0 }),
            request(`${scheme}://a.example.org/x`, '', page, { address: undefined, transaction_id: 0 }),
            request(
              'http://a.example.org/',
              '',
              { status: 302, body: '', headers: { Location: `${scheme}://a.example.org/x` } },
              { address: undefined, transaction_id: 0 },
            ),
          ),
          control: good('a.example.org', { ip: TELSTRA }),
          keys: { ...(scheme === 'http' && same), blocking: false, accessible: true },
          right: 'ok',
        },
      ],
    }),
  ),
  {
    name: 'a probe without addresses of requests, an answer in another network, and the page of a middlebox over TLS',
    networks: true,
    documents: [
      {
        input: 'http://a.example.org/',
        more: { test_version: '0.4.1' },
        steps: steps(
          lookup('a.example.org', [DTAG], { engine: 'system', transaction_id: 0 }),
          connect(`${DTAG}:80`, null, { transaction_id: 0 }),
          request('https://block.example.org/x', '', page, { address: undefined, transaction_id: 0 }),
          request(
            'http://a.example.org/',
            '',
            { status: 302, body: '', headers: { Location: 'https://block.example.org/x' } },
            { address: undefined, transaction_id: 0 },
          ),
        ),
        control: good('a.example.org', { ip: TELSTRA }),
        keys: different,
        right: 'blocked dns a.example.org',
      },
    ],
  },

  // Fields of the document in unusual forms. A measurement is judged like any other, or recorded as failed.
  ...(
    [
      '2024-05-01T10:00:00',
      '2024-05-01 10:00:00.123',
      '2024-05-01 10:00:00Z',
      '2024-02-30 10:00:00',
      '1969-12-31 23:59:59',
      '1970-01-01 00:00:00',
      '1899-12-31 10:00:00',
      '2099-12-31 23:59:59',
      '2100-01-01 00:00:00',
      '9999-12-31 23:59:59',
      '',
      null,
      12345,
      '2024-05-01 24:00:00',
      '0000-00-00 00:00:00',
      ' 2024-05-01 10:00:00',
      '2024-5-1 1:2:3',
      '20240501 10:00:00',
      '1714557600',
      ['2024-05-01 10:00:00'],
    ] as const
  ).map(
    (measurement_start_time): UnusualCase => ({
      name: `the start ${JSON.stringify(measurement_start_time)}`,
      documents: [
        {
          input: 'https://a.example.org/',
          more: { measurement_start_time },
          steps: lookup('a.example.org', 'dns_nxdomain_error'),
          control: good('a.example.org'),
          right: 'blocked dns a.example.org|recorded',
        },
      ],
    }),
  ),
  ...(
    [
      ['AS137', 137],
      ['137', 137],
      [137, 137],
      ['as137', 137],
      ['AS 137', 137],
      ['AS137.0', 137],
      [137.0, 137],
      ['AS0', 0],
      [0, 0],
      ['AS4294967295', 4294967295],
      ['AS4294967296', undefined],
      ['AS', undefined],
      ['', undefined],
      [null, undefined],
      ['AS-1', undefined],
      ['0x89', undefined],
      [['AS137'], undefined],
      ['ASN137', undefined],
      ['AS137 ', 137],
    ] as const
  ).map(
    ([probe_asn, asn]): UnusualCase => ({
      name: `the AS number ${JSON.stringify(probe_asn)}`,
      documents: [
        {
          input: 'https://a.example.org/',
          more: { probe_asn },
          steps: lookup('a.example.org', 'dns_nxdomain_error'),
          control: good('a.example.org'),
          right: asn === undefined ? 'recorded' : 'blocked dns a.example.org|recorded',
          ...(asn !== undefined && { asn }),
        },
      ],
    }),
  ),
  ...(
    [
      '',
      'a.example.org',
      ['https://a.example.org/'],
      7,
      'http://',
      'https://a.example.org:99999/',
      'https://[::1',
      'javascript:alert(1)',
      { url: 'x' },
      `https://a.example.org/${'x'.repeat(100_000)}`,
    ] as const
  ).map(
    (input): UnusualCase => ({
      name: `the input ${JSON.stringify(input).slice(0, 60)}`,
      documents: [
        {
          input,
          steps: steps(lookup('a.example.org', [A]), secure('a.example.org')),
          control: good('a.example.org'),
          right: 'ok|recorded',
        },
      ],
    }),
  ),
  ...(
    ['telegram', 'whatsapp', 'signal', 'tor', 'facebook_messenger', 'psiphon', 'ndt', 'web_connectivity'] as const
  ).map(
    (of): UnusualCase => ({
      name: `${of} without the key input`,
      documents: [
        {
          test: of,
          more: { input: undefined },
          keys: { targets: {} },
          steps:
            of === 'tor' || of === 'psiphon' || of === 'ndt'
              ? {}
              : steps(lookup('web.telegram.org', 'dns_nxdomain_error')),
          right: 'unknown|blocked dns web.telegram.org|recorded|no verdict',
        },
      ],
    }),
  ),
  ...(
    [
      { Server: null },
      { Server: ['nginx', 'x'] },
      { Server: 5 },
      { Server: { format: 'base64', data: '***' } },
      { Server: { format: 'base64', data: 'bmdpbng' } },
      { Server: { format: 'base64' } },
      { Server: { a: { b: 1 } } },
      { Location: { format: 'base64', data: '/w==' } },
      { '': '' },
      { __proto__x: 'y' },
    ] as const
  ).map(
    (headers): UnusualCase => ({
      name: `the headers ${JSON.stringify(headers)}`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(
            lookup('a.example.org', [A]),
            connect(`${A}:443`),
            handshake(`${A}:443`, 'a.example.org'),
            request('https://a.example.org/', `${A}:443`, { ...page, headers }),
          ),
          control: good('a.example.org'),
          right: 'ok|recorded',
        },
      ],
    }),
  ),
  ...(
    [
      null,
      0,
      '',
      'x',
      '../../etc/passwd',
      '20240501100000.000000_it_webconnectivity_0123456789abcdef',
      '99990501100000.000000_IT_webconnectivity_0123456789abcdef',
      '0120240501',
      '01202405010123456789abcdef0123456789abcd',
      { a: 1 },
      'x'.repeat(100_000),
    ] as const
  ).map(
    (measurement_uid): UnusualCase => ({
      name: `the uid ${JSON.stringify(measurement_uid)?.slice(0, 70)}`,
      documents: [
        {
          input: 'https://a.example.org/',
          more: { measurement_uid },
          steps: lookup('a.example.org', 'dns_nxdomain_error'),
          control: good('a.example.org'),
          right: 'blocked dns a.example.org',
        },
      ],
    }),
  ),
  {
    name: 'four measurements with one uid: another input, start, country, and the order of its keys',
    documents: [
      { input: 'https://a.example.org/' },
      { input: 'https://a.example.org/x' },
      { input: 'https://a.example.org/', at: '11:00:00' },
      { input: 'https://a.example.org/', cc: 'DE', at: '11:00:00' },
    ].map(each => ({
      ...each,
      more: { measurement_uid: '20240501100000.000000_IT_webconnectivity_00000000deadbeef' },
      steps: lookup('a.example.org', 'dns_nxdomain_error'),
      control: good('a.example.org'),
      right: 'blocked dns a.example.org|recorded',
    })),
  },

  // Names of the system resolver, and addresses of one family.
  ...(['system', 'getaddrinfo', 'golang_net_resolver', 'go'] as const).flatMap((engine): UnusualCase[] => [
    {
      name: `the engine ${engine} finds no such name`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: lookup('a.example.org', 'dns_nxdomain_error', { engine }),
          control: good('a.example.org'),
          right: 'blocked dns a.example.org',
        },
      ],
    },
    {
      name: `the engine ${engine} answers with a bogon`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: lookup('a.example.org', ['10.1.1.1'], { engine }),
          control: good('a.example.org'),
          right: 'blocked dns a.example.org',
        },
      ],
    },
    {
      name: `the engine ${engine} finds an address of IPv4 and none of IPv6, and nothing more is tried`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(
            lookup('a.example.org', [A], { engine, query_type: 'A' }),
            lookup('a.example.org', 'dns_no_answer', { engine, query_type: 'AAAA' }),
          ),
          control: good('a.example.org'),
          right: 'ok',
        },
      ],
    },
    {
      name: `the engine ${engine} finds an address of IPv4 and none of IPv6, and the page loads`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(
            lookup('a.example.org', [A], { engine, query_type: 'A' }),
            lookup('a.example.org', 'dns_no_answer', { engine, query_type: 'AAAA' }),
            secure('a.example.org'),
          ),
          control: good('a.example.org'),
          right: 'ok',
        },
      ],
    },
    {
      name: `the engine ${engine} finds no address of either family`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(
            lookup('a.example.org', 'dns_no_answer', { engine, query_type: 'A' }),
            lookup('a.example.org', 'dns_no_answer', { engine, query_type: 'AAAA' }),
          ),
          control: good('a.example.org'),
          right: 'blocked dns a.example.org',
        },
      ],
    },
  ]),
  ...(['udp', 'doh', 'dot', 'tcp'] as const).map(
    (engine): UnusualCase => ({
      name: `the engine ${engine}, which users do not use, finds no such name`,
      documents: [
        {
          input: 'https://a.example.org/',
          steps: steps(
            lookup('a.example.org', [A]),
            lookup('a.example.org', 'dns_nxdomain_error', { engine, transaction_id: 2 }),
            secure('a.example.org'),
          ),
          control: good('a.example.org'),
          right: 'ok',
        },
      ],
    }),
  ),

  {
    name: 'a bogon beside the right address of a page in the clear, and nothing loads',
    documents: [
      {
        input: 'http://a.example.org/',
        steps: lookup('a.example.org', ['0.0.0.0', A]),
        control: control({ dns: [A], tcp: { [`${A}:80`]: null } }),
        right: 'ok|unknown|blocked dns a.example.org|partly_blocked dns a.example.org',
      },
    ],
  },
];
