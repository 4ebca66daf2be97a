import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Whether a text is an IP address: IPv4 without leading zeros, or IPv6, which may carry a zone. */
export function isIpLiteral(text: string): boolean {
  const first = text.charCodeAt(0);
  // Most names are no addresses, and begin with a letter beyond the hexadecimal digits.
  if (first > 0x66) return false;
  const percent = text.indexOf('%');
  if (percent < 0) return isIP(text) !== 0;
  return isIP(text.slice(0, percent)) === 6 && /^%[^%]+$/.test(text.slice(percent));
}

/** The 16 bytes of an IPv6 address, its zone left out; undefined for any other text. */
export function ipv6Bytes(text: string): Uint8Array | undefined {
  if (!text.includes(':') || !isIpLiteral(text)) return undefined;
  return Uint8Array.from(ipaddr.IPv6.parse(text.split('%', 1)[0]!).toByteArray());
}

/** An IP address as RFC 5952 writes it, its zone kept; undefined for any other text. */
export function canonicalAddress(text: string): string | undefined {
  if (!isIpLiteral(text)) return undefined;
  if (!text.includes(':')) return text;
  const [address, ...zone] = text.split('%') as [string, ...string[]];
  return [ipaddr.IPv6.parse(address).toRFC5952String(), ...zone].join('%');
}
