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
  const [head, tail] = text.split('%', 1)[0]!.split('::') as [string, string?];
  const bytes = new Uint8Array(16);
  bytes.set(octetsOf(head));
  if (tail) {
    const last = octetsOf(tail);
    bytes.set(last, bytes.length - last.length);
  }
  return bytes;
}

/** Returns the octets of consecutive groups of an IPv6 address. The last group may have the form of an IPv4 address. */
function octetsOf(groups: string): number[] {
  const octets: number[] = [];
  if (groups === '') return octets;
  for (const group of groups.split(':')) {
    if (group.includes('.')) {
      for (const octet of group.split('.')) octets.push(Number(octet));
    } else {
      const value = Number.parseInt(group, 16);
      octets.push(value >>> 8, value & 0xff);
    }
  }
  return octets;
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
  const zone = text.indexOf('%');
  return new ipaddr.IPv6([...bytes]).toRFC5952String() + (zone < 0 ? '' : text.slice(zone));
}

/**
 * Matches each form of an IPv6 address that RFC 5952 does not prefer, and few others: capitals, IPv4 at the end, zeros that could be left out,
 * and `::` in place of one group of zeros (at least seven colons).
 */
const ODD_FORM = /[A-F.]|(?:^|:)0|^:|^(?=.*::)(?:[^:]*:){7}/;

/** Returns the same for an address, and any other text unchanged. */
export function addressForm(text: string): string {
  return text.includes(':') && ODD_FORM.test(text) ? (canonicalAddress(text) ?? text) : text;
}
