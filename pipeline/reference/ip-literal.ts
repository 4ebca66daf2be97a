import { isIP } from 'node:net';

/** Whether a text is an IP address: IPv4 without leading zeros, or IPv6, which may carry a zone. */
export function isIpLiteral(text: string): boolean {
  const first = text.charCodeAt(0);
  // Most names are no addresses, and begin with a letter beyond the hexadecimal digits.
  if (first > 0x66) return false;
  const percent = text.indexOf('%');
  if (percent < 0) return isIP(text) !== 0;
  return isIP(text.slice(0, percent)) === 6 && /^%[^%]+$/.test(text.slice(percent));
}
