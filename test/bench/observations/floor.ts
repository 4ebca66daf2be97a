import { gunzipSync } from 'node:zlib';

/** The minimum work of any reader that uses JSON.parse: decompress the complete object and parse its lines. */
export function floor(stored: Buffer): void {
  const content = gunzipSync(stored);
  let start = 0;
  for (let end = content.indexOf(0x0a); end >= 0; end = content.indexOf(0x0a, start)) {
    JSON.parse(content.toString('utf8', start, end));
    start = end + 1;
  }
}
