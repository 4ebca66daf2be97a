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
 * Returns an IP address in the form in which addresses are compared, or undefined for any other text. IPv6 has the form of RFC 5952, including
 * its zone. An IPv4-mapped address (`::ffff:1.2.3.4`, RFC 4291 section 2.5.5.2) becomes IPv4, because a connection to it uses IPv4.
 */
export function canonicalAddress(text: string): string | undefined {
  if (!isIpLiteral(text)) return undefined;
  const bytes = ipv6Bytes(text);
  if (!bytes) return text;
  if (MAPPED.every((byte, i) => bytes[i] === byte)) return bytes.subarray(12).join('.');
  const [address, ...zone] = text.split('%') as [string, ...string[]];
  return [parse(address).toRFC5952String(), ...zone].join('%');
}

/** Matches each form of an IPv6 address that RFC 5952 does not prefer, and few others: capitals, zeros that could be left out, IPv4 at the end. */
const ODD_FORM = /[A-F.]|(?:^|:)0|^:|^[^:]+(?::[^:]+){7}$/;

/** Returns the same for an address, and any other text unchanged. */
export function addressForm(text: string): string {
  return text.includes(':') && ODD_FORM.test(text) ? (canonicalAddress(text) ?? text) : text;
}
