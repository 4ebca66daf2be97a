import { gunzipSync } from 'node:zlib';

/** What nobody can go below who reads measurements with JSON.parse: the object unpacked whole, its lines parsed, nothing else. */
export function floor(stored: Buffer): void {
  const content = gunzipSync(stored);
  let start = 0;
  for (let end = content.indexOf(0x0a); end >= 0; end = content.indexOf(0x0a, start)) {
    JSON.parse(content.toString('utf8', start, end));
    start = end + 1;
  }
}
