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
  return Uint8Array.from(ipaddr.IPv6.parse(text.split('%', 1)[0]!).toByteArray());
}

/** Returns an IP address in the form of RFC 5952, including its zone, or undefined for any other text. */
export function canonicalAddress(text: string): string | undefined {
  if (!isIpLiteral(text)) return undefined;
  if (!text.includes(':')) return text;
  const [address, ...zone] = text.split('%') as [string, ...string[]];
  return [ipaddr.IPv6.parse(address).toRFC5952String(), ...zone].join('%');
}
