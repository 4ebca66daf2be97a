import { BlockList } from 'node:net';

/** IPv4 ranges that are not routed on the Internet (observations.md section 4), as in upstream. */
export const IPV4_BOGONS: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
];

const IPV6 = [
  '::/128',
  '::1/128',
  '::ffff:0:0/96',
  '::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001:10::/28',
  '2001:db8::/32',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
  '2002::/24',
  '2002:a00::/24',
  '2002:7f00::/24',
  '2002:a9fe::/32',
  '2002:ac10::/28',
  '2002:c000::/40',
  '2002:c000:200::/40',
  '2002:c0a8::/32',
  '2002:c612::/31',
  '2002:c633:6400::/40',
  '2002:cb00:7100::/40',
  '2002:e000::/20',
  '2002:f000::/20',
  '2002:ffff:ffff::/48',
  '2001::/40',
  '2001:0:a00::/40',
  '2001:0:7f00::/40',
  '2001:0:a9fe::/48',
  '2001:0:ac10::/44',
  '2001:0:c000::/56',
  '2001:0:c000:200::/56',
  '2001:0:c0a8::/48',
  '2001:0:c612::/47',
  '2001:0:c633:6400::/56',
  '2001:0:cb00:7100::/56',
  '2001:0:e000::/36',
  '2001:0:f000::/36',
  '2001:0:ffff:ffff::/64',
];

// Two lists are needed: in one list, the IPv6 range of IPv4-mapped addresses would include every IPv4 address.
const ipv4 = new BlockList();
const ipv6 = new BlockList();
for (const range of IPV4_BOGONS) ipv4.addSubnet(...subnet(range), 'ipv4');
for (const range of IPV6) ipv6.addSubnet(...subnet(range), 'ipv6');

function subnet(range: string): [network: string, prefix: number] {
  const [network, prefix] = range.split('/') as [string, string];
  return [network, Number(prefix)];
}

/** Reports whether an address is in a bogon range. The address must be an IP literal; a zone is ignored. */
export function isBogon(address: string): boolean {
  const ip = address.split('%', 1)[0]!;
  return ip.includes(':') ? ipv6.check(ip, 'ipv6') : ipv4.check(ip, 'ipv4');
}
