import { expect, test } from 'vitest';
import { addressForm, canonicalAddress, ipv6Bytes } from './ip-literal.ts';

/** Examples of RFC 5952 sections 2 and 4, RFC 4291 section 2.2, and RFC 4007 section 11. */
test.each([
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:0db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:db8::0:1', '2001:db8::1'],
  ['2001:DB8::1', '2001:db8::1'],
  // `::` is not used for one group.
  ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:db8:1:1:1:1:1::', '2001:db8:1:1:1:1:1:0'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa', '2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa'],
  ['0:0:0:0:0:0:0:1', '::1'],
  ['::', '::'],
  ['::13.1.68.3', '::d01:4403'],
  ['::FFFF:129.144.52.38', '129.144.52.38'],
  ['::ffff:8190:3426', '129.144.52.38'],
  ['FE80::1234%eth0', 'fe80::1234%eth0'],
  ['192.0.2.1', '192.0.2.1'],
])('%s has the form %s', (text, form) => {
  expect(addressForm(text)).toBe(form);
  expect(canonicalAddress(text)).toBe(form);
});

test.each([
  ['2001:db8::8:800:200c:417a', '20010db8000000000008 0800200c417a'],
  ['::13.1.68.3', '000000000000000000000000 0d014403'],
  ['64:ff9b::192.0.2.33%1', '0064ff9b0000000000000000 c0000221'],
  ['fe80::', 'fe80000000000000 0000000000000000'],
])('the bytes of %s are %s', (text, bytes) => {
  expect(Buffer.from(ipv6Bytes(text)!).toString('hex')).toBe(bytes.replace(' ', ''));
});

test.each(['example.org:443', '1.2.3.4', '1:2:3', '2001:db8::1::1', ''])('%s is not an IPv6 address', text => {
  expect(ipv6Bytes(text)).toBeUndefined();
});
