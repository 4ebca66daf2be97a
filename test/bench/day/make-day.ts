import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createGzip, gunzipSync } from 'node:zlib';
import { pack } from 'tar-stream';

/** A day of measurements in the layout of the archive. */
export interface MadeDay {
  readonly root: string;
  readonly day: string;
  readonly measurements: number;
  readonly objects: number;
  /** Compressed and decompressed bytes. */
  readonly stored: number;
  readonly bytes: number;
}

/** Measurements per object. Real objects have up to some thousand. */
const PER_OBJECT = 400;
const GZIP = { level: 3 };
const COUNTRIES = [
  'IT',
  'US',
  'DE',
  'RU',
  'IR',
  'BR',
  'IN',
  'VE',
  'ID',
  'TR',
  'GB',
  'FR',
  'ES',
  'MM',
  'CN',
  'KZ',
  'EG',
  'NG',
  'MX',
  'UA',
];
/** Number of different sites that are tested on a day. */
const SITES = 4000;

interface Line {
  readonly text: string;
  readonly testName: string;
  readonly host: string;
}

/**
 * Writes `count` measurements of `day` below `root`, made in turn from the lines of a folder in the layout of the archive. Time,
 * report, country, network and, if present, host differ between the copies of a line. Every second object is a postcan, the others
 * are JSON lines. Nothing is random: the same arguments make the same day.
 */
export async function makeDay(source: string, root: string, day: string, count: number): Promise<MadeDay> {
  const lines = readLines(source);
  const digits = day.replaceAll('-', '');
  let [stored, bytes, objects] = [0, 0, 0];
  const groups = new Map<string, Line[]>();
  for (const line of lines) groups.set(line.testName, [...(groups.get(line.testName) ?? []), line]);
  let made = 0;
  for (const [testName, group] of groups) {
    const lineCount = Math.round((count * group.length) / lines.length);
    const files = Math.ceil(lineCount / PER_OBJECT);
    for (let file = 0; file < files; file++) {
      const hour = String(file % 24).padStart(2, '0');
      const cc = COUNTRIES[file % COUNTRIES.length]!;
      const name = testName.replaceAll('_', '');
      const stem = `raw/${digits}/${hour}/${cc}/${name}/${digits}${hour}_${cc}_${name}.n0.${file}`;
      const members: { name: string; text: string }[] = [];
      for (let i = file * PER_OBJECT; i < Math.min(lineCount, (file + 1) * PER_OBJECT); i++) {
        const line = group[i % group.length]!;
        const text = vary(line, made, day, hour, cc);
        members.push({ name: postName(text, { digits, hour, index: made, cc, name }), text });
        bytes += text.length;
        made++;
      }
      const path = join(root, file % 2 === 0 ? `${stem}.tar.gz` : `${stem}.jsonl.gz`);
      mkdirSync(dirname(path), { recursive: true });
      await (path.endsWith('.tar.gz') ? writePostcan(path, members) : writeLines(path, members));
      stored += statSync(path).size;
      objects++;
    }
  }
  return { root, day, measurements: made, objects, stored, bytes };
}

function readLines(source: string): Line[] {
  if (!existsSync(source)) throw new Error(`there is no ${source}`);
  return readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.jsonl.gz'))
    .sort()
    .flatMap(path =>
      gunzipSync(readFileSync(join(source, path)))
        .toString()
        .split('\n'),
    )
    .flatMap(text => {
      try {
        const { test_name: testName, input } = JSON.parse(text) as { test_name: string; input?: string };
        const host = /^https?:\/\/([a-z0-9.-]+)/i.exec(input ?? '')?.[1] ?? '';
        return /^\w+$/.test(testName) ? [{ text, testName, host }] : [];
      } catch {
        return [];
      }
    });
}

/** Makes a copy that differs from the others in the values that decide where its rows are stored and which rows they are compared with. */
function vary(line: Line, index: number, day: string, hour: string, cc: string): string {
  const time = `${day} ${hour}:${two(index % 60)}:${two(Math.floor(index / 60) % 60)}`;
  const report = `${day.replaceAll('-', '')}T${hour}0000Z_${index % 50_000}`;
  let { text } = line;
  if (line.host.includes('.')) text = text.replaceAll(line.host, `s${index % SITES}.${line.host}`);
  return text
    .replace(/"measurement_start_time": ?"[^"]*"/, `"measurement_start_time":"${time}"`)
    .replace(/"test_start_time": ?"[^"]*"/, `"test_start_time":"${time}"`)
    .replace(/"report_id": ?"[^"]*"/, `"report_id":"${report}"`)
    .replace(/"probe_cc": ?"[^"]*"/, `"probe_cc":"${cc}"`)
    .replace(/"probe_asn": ?"[^"]*"/, `"probe_asn":"AS${1000 + (index % 3000)}"`)
    .replace(/, ?"measurement_uid": ?"[^"]*"/, '')
    .replace(/"measurement_uid": ?"[^"]*", ?/, '');
}

interface Post {
  readonly digits: string;
  readonly hour: string;
  readonly index: number;
  readonly cc: string;
  readonly name: string;
}

function postName(text: string, { digits, hour, index, cc, name }: Post): string {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const time = `${hour}${two(index % 60)}${two(Math.floor(index / 60) % 60)}.${String(index % 1_000_000).padStart(6, '0')}`;
  return `${digits}${time}_${cc}_${name}_${hash}.post`;
}

async function writePostcan(path: string, members: readonly { name: string; text: string }[]): Promise<void> {
  const tar = pack();
  const file = createWriteStream(path);
  tar.pipe(createGzip(GZIP)).pipe(file);
  for (const { name, text } of members) {
    const post = `{"format":"json","content":${text}}`;
    await new Promise<void>((resolve, reject) =>
      tar.entry({ name }, post, error => (error ? reject(error) : resolve())),
    );
  }
  tar.finalize();
  await once(file, 'close');
}

async function writeLines(path: string, members: readonly { text: string }[]): Promise<void> {
  const gzip = createGzip(GZIP);
  const file = createWriteStream(path);
  gzip.pipe(file);
  for (const { text } of members) if (!gzip.write(`${text}\n`)) await once(gzip, 'drain');
  gzip.end();
  await once(file, 'close');
}

function two(number: number): string {
  return String(number).padStart(2, '0');
}
