import { withCommas } from './with-commas.ts';

/** Returns a number of bytes as text for people, with decimal units: `1,234.5 MB`, or kB below 1 MB. */
export function byteSize(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${withCommas(bytes / 1e6)} MB`;
}
