import { domainToASCII } from 'node:url';
import { canonicalAddress } from '../reference/ip-literal.ts';

/** Names longer than this are no host names, and converting them would cost time. */
const LONGEST = 1000;
/** Lower-case ASCII without a dot at the end: the common form, which stays as it is. */
const COMMON = /^[^A-Z\x80-\uffff:]*[^A-Z\x80-\uffff:.]$/;

/**
 * A host name in the one form in which names are compared: A-labels (RFC 5890), lower case (RFC 4343), no trailing dot. An IPv6
 * address is in its shortest form. A name that cannot be converted is in lower case.
 */
export function hostForm(name: string): string {
  if (COMMON.test(name)) return name;
  const lower = name.toLowerCase();
  if (lower.length > LONGEST) return lower;
  if (lower.includes(':')) return canonicalAddress(lower) ?? lower;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII
  const ascii = /^[\x00-\x7f]*$/.test(lower) ? lower : domainToASCII(lower) || lower;
  return ascii.replace(/\.+$/, '') || ascii;
}
