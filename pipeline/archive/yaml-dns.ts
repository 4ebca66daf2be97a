import { type Entry, isEntry, ReportShapeError } from './yaml-shape.ts';

const IPV4 = String.raw`(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})`;
/** Matches labels joined by single dots. Each character can match in only one way, so a hostile string costs only linear time. */
const HOST = String.raw`([a-zA-Z0-9]+(?:(?:-+|\.)[a-zA-Z0-9]+)*)`;

/** Normalises the DNS tests of old reports: verdicts by resolver, and queries and answers parsed from their strings (archive.md section 11). */
export function normaliseDns(testName: string, testKeys: Entry): void {
  const { test_resolvers: _resolvers, tampering, queries = [], ...rest } = testKeys;
  for (const key of Object.keys(testKeys)) delete testKeys[key];
  Object.assign(testKeys, rest);

  if (tampering || testName === 'dns_consistency') {
    const verdicts: [unknown, unknown][] = Array.isArray(tampering)
      ? tampering.map(pair => (Array.isArray(pair) ? [pair[0], pair[1]] : [pair, undefined]))
      : Object.entries(isEntry(tampering) ? tampering : {});
    const resolvers = (matches: (verdict: unknown) => boolean) =>
      verdicts.filter(([, verdict]) => matches(verdict)).map(([resolver]) => resolver);
    testKeys.errors = tampering || {};
    testKeys.successful = resolvers(verdict => verdict === false);
    testKeys.failed = resolvers(verdict => verdict !== true);
    testKeys.inconsistent = resolvers(verdict => verdict === true);
  }
  if (!Array.isArray(queries)) throw new ReportShapeError('test_keys.queries is not a list');
  testKeys.queries = queries.map(normaliseQuery);
}

function normaliseQuery(raw: unknown): Entry {
  if (!isEntry(raw)) throw new ReportShapeError('a query is not a mapping');
  const { query, resolver, addrs: _addrs, answers: written, ...rest } = raw;
  const [host, port] = Array.isArray(resolver) && resolver.length === 2 ? resolver : [null, null];
  const answers = Array.isArray(written) ? written.map(normaliseAnswer) : [];
  return {
    ...rest,
    hostname: typeof query === 'string' ? match(String.raw`\[Query\('(.+)'`, query) : null,
    resolver_hostname: host,
    resolver_port: port,
    answers,
    failure: rest.failure || (answers.length === 0 ? 'no_answer' : null),
  };
}

/** Normalises an answer, which is a pair of strings: the head of the record (`ttl=`, `type=`) and its payload. */
function normaliseAnswer(answer: unknown): Entry {
  const [head, payload] = (Array.isArray(answer) ? answer : []).map(String);
  if (head === undefined) throw new ReportShapeError('an answer is not a pair of texts');
  const type = match('type=([A-Z]+)', head);
  const field = (name: string, pattern: string) => match(`${name}=${pattern}`, payload ?? '');
  const number = (name: string) => field(name, String.raw`(\d+)`);
  const common = { ttl: match(String.raw`ttl=(\d+)`, head), answer_type: type };
  switch (type) {
    case 'A':
      return { ...common, ipv4: field('address', IPV4) };
    case 'MX':
      return { ...common, hostname: field('name', HOST), preference: number('preference') };
    case 'PTR':
    case 'CNAME':
      return { ...common, hostname: field('name', HOST) };
    case 'SOA':
      return {
        ...common,
        responsible_name: field('rname', HOST),
        hostname: field('mname', HOST),
        serial_number: number('serial'),
        refresh_interval: number('refresh'),
        retry_interval: number('retry'),
        minimum_ttl: number('minimum'),
        expiration_limit: number('expire'),
      };
    default:
      return common;
  }
}

function match(pattern: string, text: string): string {
  return new RegExp(pattern).exec(text)?.[1] ?? '';
}
