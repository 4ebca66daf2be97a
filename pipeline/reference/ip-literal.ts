import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Reports whether a text is an IP address: IPv4 without leading zeros, or IPv6 with or without a zone. */
export function isIpLiteral(text: string): boolean {
  const first = text.charCodeAt(0);
  // Most host names begin with a letter after `f`, so they cannot be addresses.
  if (first > 0x66) return false;
  const percent = text.indexOf('%');
  if (percent < 0) return isIP(text) !== 0;
  return isIP(text.slice(0, percent)) === 6 && /^%[^%]+$/.test(text.slice(percent));
}

/** Returns the 16 bytes of an IPv6 address without its zone, or undefined for any other text. */
export function ipv6Bytes(text: string): Uint8Array | undefined {
  if (!text.includes(':') || !isIpLiteral(text)) return undefined;
  return Uint8Array.from(parse(text.split('%', 1)[0]!).toByteArray());
}

function parse(address: string): ipaddr.IPv6 {
  // ipaddr.js reads `::1.2.3.4` as `::ffff:1.2.3.4`, which is another address.
  return ipaddr.IPv6.parse(/^::\d+\./.test(address) ? `::0:${address.slice(2)}` : address);
}

/** First 12 bytes of an IPv4-mapped address. */
const MAPPED = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);

/**
 * Returns the IPv4 address in an IPv4-mapped IPv6 address (`::ffff:1.2.3.4`, RFC 4291 section 2.5.5.2), or any other text unchanged. A
 * connection to a mapped address uses IPv4.
 */
export function unmapped(text: string): string {
  const first = text.charCodeAt(0);
  // A colon or a zero: every form of a mapped address begins with zeros.
  if (first !== 0x3a && first !== 0x30) return text;
  const bytes = ipv6Bytes(text);
  return bytes && MAPPED.every((byte, i) => bytes[i] === byte) ? bytes.subarray(12).join('.') : text;
}

/**
 * Returns an IP address in the form in which addresses are compared, or undefined for any other text. IPv6 has the form of RFC 5952, including
 * its zone; an IPv4-mapped address becomes IPv4.
 */
export function canonicalAddress(text: string): string | undefined {
  if (!isIpLiteral(text)) return undefined;
  const plain = unmapped(text);
  if (!plain.includes(':')) return plain;
  const [address, ...zone] = plain.split('%') as [string, ...string[]];
  return [parse(address).toRFC5952String(), ...zone].join('%');
}
