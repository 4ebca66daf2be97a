import { transformError } from '../measurement/errors.ts';
import { addressForm } from '../reference/ip-literal.ts';

/** Splits addresses and URLs as RFC 3986 does, without checking characters (observations.md sections 6.1 and 13.1). */

export interface Endpoint {
  /** Lower-case host without brackets, as IPv4 if it is an IPv4-mapped address; null if empty. */
  readonly host: string | null;
  readonly port: number | null;
}

const NO_ENDPOINT: Endpoint = { host: null, port: null };

/** Replaces the placeholder of the probe's own address, because its brackets would be parsed as those of IPv6. */
export function fixAddress(address: string): string {
  return address.includes('[scrubbed]') ? address.replaceAll('[scrubbed]', 'scrubbed') : address;
}

/** Splits an endpoint such as `1.2.3.4:443` or `[2001:db8::1]:443`. Throws InvalidAddress for a bad port or brackets. */
export function splitEndpoint(address: string): Endpoint {
  const fixed = fixAddress(address);
  // The common form, parsed without creating any other objects than the result.
  const colon = fixed.indexOf(':');
  if (colon > 0 && fixed.indexOf(':', colon + 1) < 0 && !/[^0-9.:]/.test(fixed)) {
    return { host: fixed.slice(0, colon), port: portNumber(fixed.slice(colon + 1), address) };
  }
  const authority = authorityOf(`//${stripBlanks(fixed)}`);
  if (authority === undefined) throw transformError('InvalidAddress', `"${address}" has a bracket without its partner`);
  if (authority === '') return NO_ENDPOINT;
  const { host, port } = hostAndPort(authority);
  return { host: host && addressForm(host), port: portNumber(port, address) };
}

function portNumber(port: string, address: string): number | null {
  if (port === '') return null;
  const number = /^[0-9]+$/.test(port) ? Number(port) : -1;
  if (number < 0 || number > 65535) throw transformError('InvalidAddress', `"${address}" has no valid port`);
  return number;
}

/** Writes an endpoint as probes do, with brackets around an IPv6 address. */
export function joinEndpoint(host: string, port: number | string): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Returns the host of a URL in lower case, or an empty string if it has none. Throws InvalidURL for unbalanced brackets. */
export function urlHost(url: string): string {
  const stripped = stripBlanks(url);
  const scheme = /^[a-zA-Z][a-zA-Z0-9+.-]*:/.exec(stripped);
  const authority = authorityOf(scheme ? stripped.slice(scheme[0].length) : stripped);
  if (authority === undefined)
    throw transformError('InvalidURL', `"${url.slice(0, 100)}" has a bracket without its partner`);
  return authority === '' ? '' : (hostAndPort(authority).host ?? '');
}

/** Removes leading blanks and control characters, and tabs and line ends anywhere. */
function stripBlanks(url: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
  return /^[\x00-\x20]|[\t\r\n]/.test(url) ? url.replace(/^[\x00-\x20]+/, '').replace(/[\t\r\n]/g, '') : url;
}

/** Returns the text between `//` and the next of `/?#`: empty without `//`, undefined if its brackets do not match. */
function authorityOf(rest: string): string | undefined {
  if (!rest.startsWith('//')) return '';
  let end = 2;
  for (; end < rest.length; end++) {
    const unit = rest.charCodeAt(end);
    if (unit === 0x2f || unit === 0x3f || unit === 0x23) break;
  }
  const authority = rest.slice(2, end);
  return authority.includes('[') === authority.includes(']') ? authority : undefined;
}

function hostAndPort(authority: string): { host: string | null; port: string } {
  // The common form, a host alone, read without creating any lists.
  if (authority !== '' && !/[@[\]:%]/.test(authority)) return { host: authority.toLowerCase(), port: '' };
  const [head, tail] = cut(authority.slice(authority.lastIndexOf('@') + 1), '[');
  const [host, port] = tail === undefined ? cut(head, ':') : bracketed(tail);
  if (host === '') return { host: null, port: port ?? '' };
  const percent = host.indexOf('%');
  const lower = percent < 0 ? host.toLowerCase() : host.slice(0, percent).toLowerCase() + host.slice(percent);
  return { host: lower, port: port ?? '' };
}

function bracketed(tail: string): [host: string, port: string | undefined] {
  const [host, rest] = cut(tail, ']');
  return [host, rest === undefined ? undefined : cut(rest, ':')[1]];
}

/** Splits a text at the first separator. The second part is undefined without a separator. */
function cut(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}
