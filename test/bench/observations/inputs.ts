import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

/** An archive of one bucket with the bytes to measure. */
export interface Input {
  readonly name: 'bodies' | 'rows' | 'all';
  readonly what: string;
  readonly root: string;
  readonly keys: readonly string[];
  /** Compressed and decompressed bytes. */
  readonly stored: number;
  readonly bytes: number;
  readonly measurements: number;
}

export const BUCKET = '2024-02-12';
const FOLDER = 'raw/20240212/00/IT/webconnectivity';

/** Writes the three inputs below `dir`, from the measurements of a folder in the layout of the archive. */
export function makeInputs(measurements: string, dir: string): Input[] {
  const keys = readdirSync(measurements, { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.jsonl.gz'))
    .sort();
  const objects = keys.map(key => ({ key, stored: readFileSync(join(measurements, key)) }));
  const biggest = objects
    .filter(({ key }) => basename(key).includes('_webconnectivity.'))
    .sort((a, b) => b.stored.length - a.stored.length)
    .slice(0, 8);
  const lines = objects.flatMap(({ stored }) => linesOf(gunzipSync(stored)));
  const rows = lines.filter(line => {
    const { test_name, test_version } = JSON.parse(line.toString()) as Record<string, unknown>;
    return test_name === 'web_connectivity' && String(test_version).startsWith('0.5');
  });
  return [
    write(
      dir,
      'bodies',
      'the eight biggest objects of web_connectivity: bodies dominate',
      biggest.map(({ stored }) => stored),
    ),
    write(dir, 'rows', 'all lines of web_connectivity 0.5: rows dominate', [zipped(rows)]),
    write(dir, 'all', 'every line', [zipped(lines)]),
  ];
}

function write(dir: string, name: Input['name'], what: string, objects: readonly Buffer[]): Input {
  const root = join(dir, name);
  const keys = objects.map((_, i) => `${FOLDER}/2024021200_IT_webconnectivity.n0.${i}.jsonl.gz`);
  let [bytes, measurements, size] = [0, 0, 0];
  for (const [i, stored] of objects.entries()) {
    const path = join(root, keys[i]!);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, stored);
    const content = gunzipSync(stored);
    size += stored.length;
    bytes += content.length;
    measurements += linesOf(content).length;
  }
  return { name, what, root, keys, stored: size, bytes, measurements };
}

/** Splits the content into lines, including their newline. */
function linesOf(content: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = content.indexOf(0x0a); end >= 0; end = content.indexOf(0x0a, start)) {
    if (end > start) lines.push(content.subarray(start, end + 1));
    start = end + 1;
  }
  return lines;
}

function zipped(lines: readonly Buffer[]): Buffer {
  return gzipSync(Buffer.concat(lines));
}
