import { domainToASCII } from 'node:url';
import { canonicalAddress } from '../reference/ip-literal.ts';

/** Longer names are not host names, and converting them would cost time. */
const MAX_LENGTH = 1000;
/** Matches the common form, lower-case ASCII without a dot at the end, which needs no conversion. */
const COMMON = /^[^A-Z\x80-\uffff:%]*[^A-Z\x80-\uffff:%.]$/;

/**
 * Converts a host name to the form in which names are compared: A-labels (RFC 5890), lower case (RFC 4343), no trailing dot, no
 * percent-encoding (RFC 3986 allows it in the host of a URL). An IPv6 address gets its shortest form. A name that cannot be
 * converted is only converted to lower case.
 */
export function hostForm(name: string): string {
  if (COMMON.test(name)) return name;
  if (name.length > MAX_LENGTH) return name.toLowerCase();
  if (name.includes(':')) return canonicalAddress(name) ?? name.toLowerCase();
  const decoded = percentDecoded(name);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII
  const isAscii = /^[\x00-\x7f]*$/.test(decoded);
  // IDNA maps capitals itself. toLowerCase would make another letter of a capital sigma at the end of a word.
  const ascii = (!isAscii && domainToASCII(decoded)) || decoded.toLowerCase();
  return ascii.replace(/\.+$/, '') || ascii;
}

function percentDecoded(name: string): string {
  if (!name.includes('%')) return name;
  try {
    return decodeURIComponent(name);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return name;
  }
}
