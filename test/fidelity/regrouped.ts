import { isIP } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import type { PlainRow } from '../../pipeline/observations/plain-rows.ts';
import { MEASUREMENT_COLUMNS, PROBE_COLUMNS } from '../../pipeline/tables/schema.ts';

/** Deviations of regrouped rows (docs/deviations.md). */
export type RegroupedBy = 'connections' | 'host-of-address';

/** Columns of a row for each protocol. A row has the part if the column `present` is present. */
const PARTS = [
  { prefix: 'dns_', present: 'dns_query_type' },
  { prefix: 'tcp_', present: 'tcp_success' },
  { prefix: 'tls_', present: 'tls_server_name' },
  { prefix: 'http_', present: 'http_request_url' },
] as const;

const SHARED_COLUMNS = ['probe_analysis', ...[...MEASUREMENT_COLUMNS, ...PROBE_COLUMNS].map(([name]) => name)];
const IP_COLUMNS = ['ip_asn', 'ip_as_org_name', 'ip_as_cc', 'ip_cc', 'ip_is_bogon'];

/**
 * Compares rows of `obs_web` of one measurement that are joined differently. Returns the number of our rows for each deviation, or
 * undefined if the rows differ in more than the join. Only the join differs if
 *
 * - the DNS, TCP, TLS and HTTP parts of both are the same multisets (a DNS part includes its host, a TCP part includes its endpoint
 *   and transaction id),
 * - the columns of measurement and probe are the same, and the rows are numbered from 1,
 * - the metadata of an address are the same in all rows,
 * - each host name is that of the row's own lookup, request or handshake, or of a lookup that answered the address, or the one that
 *   the expected rows have for the address.
 */
export function regrouped(
  ours: readonly PlainRow[],
  theirs: readonly PlainRow[],
): Map<RegroupedBy, number> | undefined {
  const sound =
    PARTS.every(part => sameMultiset(partsOf(ours, part), partsOf(theirs, part))) &&
    sameShared(ours, theirs) &&
    ours.every((row, i) => row.observation_idx === i + 1) &&
    ours.every(row => sameMetadata(row, theirs)) &&
    ours.every(row => isHostKnown(row, ours, theirs));
  if (!sound) return undefined;
  const found = new Map<RegroupedBy, number>();
  const left = theirs.map(row => joined(row));
  const named = theirs.map(row => text(row, ['observation_idx']));
  ours.forEach((row, i) => {
    if (theirs[i] && isDeepStrictEqual(row, theirs[i])) return;
    const at = left.indexOf(joined(row));
    const id = at >= 0 && named[at] !== text(row, ['observation_idx']) ? 'host-of-address' : 'connections';
    if (at >= 0) left[at] = '';
    found.set(id, (found.get(id) ?? 0) + 1);
  });
  return found;
}

type Part = (typeof PARTS)[number];

function partsOf(rows: readonly PlainRow[], { prefix, present }: Part): string[] {
  return rows
    .filter(row => row[present] !== undefined)
    .map(row => {
      const columns = Object.keys(row).filter(name => name.startsWith(prefix));
      if (prefix === 'dns_') columns.push('hostname');
      if (prefix === 'tcp_') columns.push('ip', 'port', 'transaction_id');
      return JSON.stringify(columns.sort().map(name => [name, row[name]]));
    });
}

function sameMultiset(a: string[], b: string[]): boolean {
  return isDeepStrictEqual(a.sort(), b.sort());
}

function sameShared(ours: readonly PlainRow[], theirs: readonly PlainRow[]): boolean {
  const shared = (row: PlainRow | undefined) => SHARED_COLUMNS.map(name => row?.[name]);
  return [...ours, ...theirs].every(row => isDeepStrictEqual(shared(row), shared(theirs[0])));
}

function sameMetadata(row: PlainRow, theirs: readonly PlainRow[]): boolean {
  const metadata = (of: PlainRow) => IP_COLUMNS.map(name => of[name]);
  const same = theirs.find(each => each.ip === row.ip);
  return same !== undefined && isDeepStrictEqual(metadata(row), metadata(same));
}

function isHostKnown(row: PlainRow, ours: readonly PlainRow[], theirs: readonly PlainRow[]): boolean {
  const { hostname, ip } = row;
  // The comparison of the DNS part includes its host.
  if (row.dns_query_type !== undefined) return true;
  const requested = row.http_request_url ? URL.parse(String(row.http_request_url))?.hostname : undefined;
  if (requested) return hostname === requested.replace(/^\[|\]$/g, '');
  if (row.tls_server_name && isIP(String(row.tls_server_name)) === 0) return hostname === row.tls_server_name;
  const lookedUp = ours.filter(each => each.dns_answer === ip && ip !== undefined).map(each => each.hostname);
  return lookedUp.includes(hostname) || theirs.some(each => each.ip === ip && each.hostname === hostname);
}

/** Returns the row without the columns that depend on its host name. */
function joined(row: PlainRow): string {
  return text(row, ['observation_idx', 'hostname', 'target_id']);
}

function text(row: PlainRow, without: readonly string[]): string {
  return JSON.stringify(
    Object.entries(row)
      .filter(([name]) => !without.includes(name))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
