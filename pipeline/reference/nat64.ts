import { ipv6Bytes } from './ip-literal.ts';

/** IPv4 addresses in IPv6 addresses, as NAT64 and DNS64 translate them (RFC 6052). */

/** Possible lengths of a translation prefix in bits, the most common one first. */
const LENGTHS = [96, 64, 56, 48, 40, 32] as const;
export type PrefixLength = (typeof LENGTHS)[number];

/** Bits 64 to 71 are not part of the address and are zero. */
const RESERVED_OCTET = 8;

/** Positions of the four octets of the IPv4 address, by length of the prefix. */
const OCTETS: Readonly<Record<PrefixLength, readonly [number, number, number, number]>> = {
  96: [12, 13, 14, 15],
  64: [9, 10, 11, 12],
  56: [7, 9, 10, 11],
  48: [6, 7, 9, 10],
  40: [5, 6, 7, 9],
  32: [4, 5, 6, 7],
};

/** Returns the IPv4 address after a prefix of this length, or undefined if bits are set that must be zero. */
function ipv4After(address: Uint8Array, length: PrefixLength): string | undefined {
  const [first, second, third, fourth] = OCTETS[length];
  if (length !== 96) {
    if (address[RESERVED_OCTET] !== 0) return undefined;
    for (let i = fourth + 1; i < 16; i++) if (i !== RESERVED_OCTET && address[i] !== 0) return undefined;
  }
  return `${address[first]}.${address[second]}.${address[third]}.${address[fourth]}`;
}

/** Reports whether an address begins with `64:ff9b`, which only translation prefixes use. */
function isSetApart(address: Uint8Array): boolean {
  return address[0] === 0 && address[1] === 0x64 && address[2] === 0xff && address[3] === 0x9b;
}

/**
 * Returns the IPv4 address in an IPv6 address of the well-known prefix 64:ff9b::/96 (RFC 6052) or of the local-use range
 * 64:ff9b:1::/48 (RFC 8215), or undefined for any other text. The prefix length in the local-use range is unknown. It counts as 96
 * bits, unless the end of the address is zero as with shorter prefixes.
 */
export function translatedAddress(text: string): string | undefined {
  if (!/^0{0,2}64:ff9b:/i.test(text)) return undefined;
  const address = ipv6Bytes(text);
  if (!address || !isSetApart(address)) return undefined;
  if (address.subarray(4, 12).every(byte => byte === 0)) return ipv4After(address, 96);
  if (address[4] !== 0 || address[5] !== 1) return undefined;
  const short = ([48, 56, 64] as const).find(length => ipv4After(address, length) !== undefined);
  return ipv4After(address, short ?? 96);
}

/** A translation prefix of a network. */
interface Prefix {
  readonly bytes: Uint8Array;
  readonly length: PrefixLength;
}

/** Maximum number of prefixes of one document. A document with more was invented. */
const MOST_PREFIXES = 8;
/** Name with fixed IPv4 addresses, which a client uses to find the prefix of its network (RFC 7050). */
const PREFIX_DISCOVERY = { host: 'ipv4only.arpa', addresses: ['192.0.0.170', '192.0.0.171'] };

/** Facts of a document that translation prefixes are derived from. */
export interface TranslationEvidence {
  /** Answers of look-ups. */
  readonly answers: readonly { readonly hostname: string; readonly answer: string | null }[];
  /** Addresses that the control resolved. */
  readonly control?: readonly string[];
  /** Reports whether two addresses belong to different networks, or one of them to no known network. */
  differ(ipv6: string, ipv4: string): boolean;
}

/**
 * Network-specific prefixes of a document. An IPv6 answer shows a prefix if it contains an IPv4 address that is another answer, or
 * one of the control's. It does not if the control resolved the same IPv6 address, which is then the host's own. It also does not
 * if both addresses are in the same network, because some large networks write the IPv4 address of a host into its IPv6 address.
 */
export class TranslationPrefixes {
  readonly #prefixes: Prefix[] = [];

  constructor({ answers, control = [], differ }: TranslationEvidence) {
    const ipv6 = answers.filter(({ answer }) => answer?.includes(':') && !control.includes(answer));
    if (ipv6.length === 0) return;
    const known = new Set([...control, ...answers.map(({ answer }) => answer)]);
    for (const { hostname, answer } of ipv6) {
      if (this.#prefixes.length >= MOST_PREFIXES) return;
      const address = ipv6Bytes(answer!);
      if (!address || this.#find(address)) continue;
      for (const length of LENGTHS) {
        const inside = ipv4After(address, length);
        if (inside === undefined) continue;
        const isDiscovery = hostname === PREFIX_DISCOVERY.host && PREFIX_DISCOVERY.addresses.includes(inside);
        if (!isDiscovery && !(known.has(inside) && differ(answer!, inside))) continue;
        this.#prefixes.push({ bytes: address.slice(0, length / 8), length });
        break;
      }
    }
  }

  /** Returns the IPv4 address after one of the prefixes, or any other address unchanged. */
  inside(text: string): string {
    if (this.#prefixes.length === 0 || !text.includes(':')) return text;
    const address = ipv6Bytes(text);
    const prefix = address && this.#find(address);
    return (prefix && ipv4After(address, prefix.length)) ?? text;
  }

  #find(address: Uint8Array): Prefix | undefined {
    return this.#prefixes.find(({ bytes }) => bytes.every((byte, i) => address[i] === byte));
  }
}
