import { IPV4_BOGONS } from '../reference/bogons.ts';

/*
 * IPv6 addresses that a DNS64 resolver makes and that a NAT64 translator maps to the IPv4 address in them (RFC 6052, RFC 6147), as SQL. Such an
 * address is recognised by the well-known prefix (64:ff9b::/96), by the prefix for local use (64:ff9b:1::/48, RFC 8215), or by a prefix of the
 * network. The latter is known from an address that contains one of the host's control, or from a lookup of ipv4only.arpa (RFC 7050).
 */

/** The name whose lookup shows the prefix of a network, and its IPv4 addresses, 192.0.0.170 and 192.0.0.171 (RFC 7050). */
export const PREFIX_HOST = 'ipv4only.arpa';
const PREFIX_HOST_ADDRESSES = [0xc00000aa, 0xc00000ab];

/** Means "not translated" among numbers of addresses: the broadcast address, which no host answers with. */
const NOT_TRANSLATED = 0xffffffff;

/** Position of the IPv4 address for each prefix length of RFC 6052, in bytes counted from 1. Byte 9 is zero except for 96. */
const LAYOUTS: readonly { readonly length: number; readonly bytes: readonly [from: number, count: number][] }[] = [
  { length: 96, bytes: [[13, 4]] },
  { length: 64, bytes: [[10, 4]] },
  { length: 56, bytes: [[8, 1], [10, 3]] },
  { length: 48, bytes: [[7, 2], [10, 2]] },
  { length: 40, bytes: [[6, 3], [10, 1]] },
  { length: 32, bytes: [[5, 4]] },
]; // biome-ignore format: a table

function number(bytes: string, parts: readonly (readonly [from: number, count: number])[]): string {
  const pieces = parts.map(([from, count]) => `substring(${bytes}, ${from}, ${count})`);
  return `reinterpretAsUInt32(reverse(${pieces.length === 1 ? pieces[0] : `concat(${pieces.join(', ')})`}))`;
}

/** Returns tuples (prefix, number of the IPv4 address) for each way in which an IPv6 address (16 bytes) may contain an IPv4 address. */
function candidates(bytes: string): string {
  const zeros = (from: number) => `substring(${bytes}, ${from}) = unhex('${'00'.repeat(17 - from)}')`;
  const ways = LAYOUTS.map(({ length, bytes: parts }) => {
    const [from, count] = parts.at(-1) as [number, number];
    const after = from + count;
    const holds = length === 96 ? '1' : `substring(${bytes}, 9, 1) = unhex('00') AND ${zeros(Math.max(after, 9))}`;
    return `(${holds}, substring(${bytes}, 1, ${length / 8}), ${number(bytes, parts)})`;
  });
  return `arrayFilter(way -> way.1, [${ways.join(', ')}])`;
}

/**
 * Returns a relation of one row with `keys` and `insides`: the IPv6 addresses with a prefix of their network, as `<reporter> <address>`, and the
 * numbers of the IPv4 addresses in them. `seen` is a relation of (reporter, hostname, ip) of IPv6 addresses. `control` is a SELECT of (hostname,
 * ip) that the control looked up or reached, which ends with its WHERE. A prefix is valid for one reporter, so nobody can declare a prefix for
 * the probes of others.
 */
export function networkPrefixes(seen: string, control: string): string {
  // The first pair is never found: transform() rejects empty lists.
  return `SELECT arrayPushFront(groupArray(concat(reporter, ' ', pair.1)), '') AS keys, arrayPushFront(groupArray(pair.2), toUInt32(${NOT_TRANSLATED})) AS insides
  FROM (
    SELECT reporter, way.2 AS prefix, groupUniqArray((ip, way.3)) AS pairs
    FROM (
      SELECT reporter, hostname, ip, assumeNotNull(IPv6StringToNumOrNull(ip)) AS bytes
      FROM (${seen})
      WHERE (hostname, ip) NOT IN (${control} AND isIPv6String(ip))
    )
    ARRAY JOIN ${candidates('bytes')} AS way
    GROUP BY reporter, prefix
    HAVING max((hostname, IPv4NumToString(way.3)) IN (${control} AND isIPv4String(ip))
      OR (endsWith(hostname, '${PREFIX_HOST}') AND way.3 IN (${PREFIX_HOST_ADDRESSES.join(', ')})))
  )
  ARRAY JOIN pairs AS pair
  WHERE pair.2 != ${NOT_TRANSLATED}`;
}

/**
 * Returns the SQL of the number of the IPv4 address in an IPv6 address; null when there is none. The arguments are names of columns: the
 * address, its 16 bytes, whether it is IPv6, and the reporter; `prefixes` is a tuple of networkPrefixes.
 */
export function insideOf(of: {
  readonly ip: string;
  readonly bytes: string;
  readonly isV6: string;
  readonly reporter: string;
  readonly prefixes: string;
}): string {
  const none = `toUInt32(${NOT_TRANSLATED})`;
  const local = LAYOUTS.filter(({ length }) => length >= 48 && length < 96).map(({ bytes: parts }) => {
    const [from, count] = parts.at(-1) as [number, number];
    const rest = Math.max(from + count, 9);
    return `substring(${of.bytes}, ${rest}) = unhex('${'00'.repeat(17 - rest)}'), ${number(of.bytes, parts)}`;
  });
  const low = number(of.bytes, [[13, 4]]);
  // With the prefix for local use: the shortest prefix that leaves only zeros after the address; otherwise 96.
  const guess = `if(startsWith(${of.bytes}, unhex('0064ff9b0001')), multiIf(${[...local].reverse().join(', ')}, ${low}), ${none})`;
  // One transform() with the guess as its default: ClickHouse plans the whole subquery of the prefixes at each place that names it.
  const inside = `if(startsWith(${of.bytes}, unhex('0064ff9b0000000000000000')), ${low},
        transform(concat(${of.reporter}, ' ', ifNull(${of.ip}, '')), ${of.prefixes}.1, ${of.prefixes}.2, ${guess}))`;
  return `if(ifNull(${of.isV6}, 0), nullIf(${inside}, ${none}), NULL)`;
}

/** Returns the SQL of whether the number of an IPv4 address is in a range that is not routed on the Internet. */
export function isBogonNumber(address: string): string {
  return `(${IPV4_BOGONS.map(range => {
    const [network, length] = range.split('/') as [string, string];
    const start = network.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
    const size = 2 ** (32 - Number(length));
    return `${address} BETWEEN ${start} AND ${start + size - 1}`;
  }).join(' OR ')})`;
}
