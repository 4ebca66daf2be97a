/**
 * Makes rows of one hostile document of the largest allowed size, in its own process, so that its memory can be measured:
 *
 *     node --max-old-space-size=256 --max-semi-space-size=8 test/faults/hostile-document.ts SCENARIO
 *
 * Prints one JSON line: the result for the document, and the peak memory of the process.
 */
import { EVERYTHING } from '../../pipeline/filter.ts';
import { Transformer } from '../../pipeline/observations/transformer.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { SETTINGS } from '../../pipeline/settings.ts';
import { RowEncoder } from '../../pipeline/tables/encoder.ts';

const MAX = SETTINGS.max_measurement_bytes.parse(undefined);
const FIELDS = {
  input: null,
  report_id: 'r',
  measurement_start_time: '2024-01-02 03:04:05',
  test_start_time: '2024-01-02 03:04:05',
  probe_asn: 'AS137',
  probe_cc: 'IT',
  test_name: 'signal',
  test_version: '1',
  test_runtime: 1,
  software_name: 's',
  software_version: '1',
};

/** Values in a document with about as many as are allowed. */
const MANY = 990_000;

/** Returns a document of the largest allowed size, with a value in place of the mark and a long text. */
function around(fields: object, value: string): Buffer {
  const [head, tail] = JSON.stringify({ ...FIELDS, ...fields }).split('"MARK"') as [string, string];
  const rest = MAX - head.length - value.length - tail.length - '"noise":"",'.length;
  return Buffer.from(`{"noise":"${'x'.repeat(Math.max(0, rest))}",${head.slice(1)}${value}${tail}`);
}

/** Returns a document that repeats a piece of `values` values as often as is allowed or fits. */
function filled(fields: object, piece: string, values: number): Buffer {
  const times = Math.min(Math.floor(MANY / values), Math.floor((MAX - 1000) / (piece.length + 1)));
  return around(fields, `[${Array(times).fill(piece).join(',')}]`);
}

const nested = (fields: object, depth: number) => around(fields, '['.repeat(depth) + ']'.repeat(depth));

const keys = (member: object) => ({ test_keys: member });

const QUERY = '{"hostname":"","query_type":""}';
const CONNECT = '{"ip":"1.1.1.1","port":1,"status":{"success":true}}';

const SCENARIOS: Record<string, () => Buffer> = {
  'more lists than are allowed': () => nested(keys({ x: 'MARK' }), 16_000_000),
  'lists in lists': () => nested(keys({ x: 'MARK' }), MANY),
  'lists in lists, as a text': () => nested({ ...keys({ x: 1 }), report_id: 'MARK' }, MANY),
  'empty objects': () => filled(keys({ x: 'MARK' }), '{}', 2),
  'numbers, and one that is to be a text': () => filled({ ...keys({ x: 'MARK' }), report_id: 5 }, '1.5', 1),
  queries: () => filled(keys({ queries: 'MARK' }), QUERY, 3),
  certificates: () => filled(keys({ tls_handshakes: [{ peer_certificates: 'MARK' }] }), '{"format":"","data":""}', 3),
  'connects to one address': () => filled(keys({ tcp_connect: 'MARK' }), CONNECT, 5),
};

const scenario = SCENARIOS[process.argv[2] ?? ''];
if (!scenario) throw new Error(`the scenarios are ${Object.keys(SCENARIOS).join(', ')}`);
const encoder = new RowEncoder();
const facts = { bucket: '2024-01-02', generation: 1, createdAt: 1, filter: EVERYTHING };
const transformer = new Transformer({ ...facts, ipMetadata: openIpMetadata(undefined), encoder });
const bytes = scenario();
const { status, error } = transformer.transform({ line: 1, bytes }, 'key');
const maxRssMB = Math.round(process.resourceUsage().maxRSS / 1024);
console.log(JSON.stringify({ bytes: bytes.length, status, class: error?.class, maxRssMB }));
