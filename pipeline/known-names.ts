import { type Filter, normaliseTestName } from './filter.ts';
import { nearestName } from './nearest-name.ts';

/**
 * Tests that OONI's probes run or have run, as the column `test_name` has them. A new probe may bring a test that is not listed, so a name
 * that is not in the list causes a warning, not an error.
 */
export const KNOWN_TESTS: readonly string[] = [
  'bridge_reachability',
  'browser_web',
  'captive_portal',
  'dash',
  'ddr',
  'dns_consistency',
  'dns_injection',
  'dns_spoof',
  'dnscheck',
  'dnsping',
  'doh',
  'echcheck',
  'facebook_messenger',
  'http_filtering_bypass',
  'http_header_field_manipulation',
  'http_host',
  'http_host_header',
  'http_invalid_request_line',
  'http_requests',
  'http_test',
  'http_trix',
  'http_url_list',
  'lantern_circumvention_tool_test',
  'meek_fronted_requests_test',
  'multi_protocol_traceroute',
  'ndt',
  'netalyzr_wrapper',
  'openvpn',
  'openvpn_client_test',
  'parasitic_traceroute',
  'portfiltering',
  'psiphon',
  'psiphon_test',
  'quicping',
  'riseupvpn',
  'shadowsocks',
  'signal',
  'simplequicping',
  'smtp',
  'sni_blocking',
  'stunreachability',
  'tcp_connect',
  'tcpping',
  'telegram',
  'tls_handshake',
  'tls_middlebox',
  'tlsping',
  'tor',
  'torsf',
  'urlgetter',
  'vanilla_tor',
  'web_connectivity',
  'websteps',
  'whatsapp',
];

/** Country codes that probes write: ISO 3166-1, and `AP`, `EU`, `XK` and `ZZ` (unknown), which IP databases contain too. */
const COUNTRIES: ReadonlySet<string> = new Set(
  `
  AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD
  CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF
  GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN
  KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA
  NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI
  SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI
  VN VU WF WS YE YT ZA ZM ZW
  AP EU XK ZZ
`
    .trim()
    .split(/\s+/),
);

/** Codes that people write by mistake for a country that has another code. */
const OTHER_CODES: Readonly<Record<string, string>> = { EL: 'GR', EN: 'GB', UK: 'GB' };

/** A name in a filter that matches no known test or country. */
export interface UnknownName {
  /** The field of a resource that contains the name. */
  readonly field: 'probeCC' | 'testNames';
  readonly value: string;
  /** The known name that is probably meant. */
  readonly nearest?: string;
}

/** Returns the unknown names of a filter, which may be normalised or as people write it. Empty for a filter without mistakes. */
export function unknownNames(filter: Partial<Filter>): UnknownName[] {
  const unknown: UnknownName[] = [];
  for (const value of filter.probeCC ?? []) {
    const code = value.trim().toUpperCase();
    if (COUNTRIES.has(code)) continue;
    unknown.push({ field: 'probeCC', value, ...(OTHER_CODES[code] && { nearest: OTHER_CODES[code] }) });
  }
  for (const value of filter.testNames ?? []) {
    const name = normaliseTestName(value);
    if (KNOWN_TESTS.some(test => normaliseTestName(test) === name)) continue;
    const nearest = nearestTest(name);
    unknown.push({ field: 'testNames', value, ...(nearest && { nearest }) });
  }
  return unknown;
}

/** Returns a sentence about an unknown name, without a full stop: `"web_conectivity" is not a known test; did you mean web_connectivity?`. */
export function unknownNameMessage({ field, value, nearest }: UnknownName): string {
  const what = field === 'testNames' ? 'a known test' : 'a known country code';
  return `${JSON.stringify(value)} is not ${what}${nearest ? `; did you mean ${nearest}?` : ''}`;
}

/**
 * Returns the known test whose name is nearest to `name`, in the form with underscores. It has the fewest changed, missing, added or swapped
 * characters, at most a third of the name; otherwise it is the only one that begins with the name. Undefined when none is near.
 */
export function nearestTest(name: string): string | undefined {
  const normalised = normaliseTestName(name);
  const most = Math.floor(normalised.length / 3);
  const nearest = nearestName(normalised, KNOWN_TESTS.map(normaliseTestName), most);
  if (nearest !== undefined) return KNOWN_TESTS.find(test => normaliseTestName(test) === nearest);
  const begun = normalised.length < 3 ? [] : KNOWN_TESTS.filter(test => normaliseTestName(test).startsWith(normalised));
  return begun.length === 1 ? begun[0] : undefined;
}
