/**
 * Selects test/fixtures from a folder of real measurements with expected results:
 *
 *     node tools/make-fixtures.ts DATA_DIR
 *
 * Copies whole objects byte for byte. Keeps the expected rows of the selected objects. Keeps the expected verdicts of a day (of
 * measurement) only if all its measurements are in the selected objects, because a verdict also depends on the other measurements of its
 * day.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';

/** Omitted because of their size: the tests need only a few MB in the repository. One big object of each layout stays. */
const LEFT_OUT = [
  /_IT_webconnectivity\.l\./,
  /_IT_webconnectivity\.x\.(96610|ae001)/,
  /_US_webconnectivity\.n0\.[026]\./,
  /2024021220_IT_webconnectivity/,
];

const [source] = process.argv.slice(2);
if (!source) {
  console.error('usage: node tools/make-fixtures.ts DATA_DIR');
  process.exit(2);
}
const target = join(import.meta.dirname, '../test/fixtures');
const archive = join(source, 'measurements');

const keys = ['jsonl', 'raw']
  .flatMap(top => readdirSync(join(archive, top), { recursive: true, encoding: 'utf8' }).map(path => `${top}/${path}`))
  .filter(path => path.endsWith('.gz') && !LEFT_OUT.some(pattern => pattern.test(path)))
  .sort();

rmSync(join(target, 'archive'), { recursive: true, force: true });
rmSync(join(target, 'expected'), { recursive: true, force: true });
for (const key of keys) {
  mkdirSync(dirname(join(target, 'archive', key)), { recursive: true });
  cpSync(join(archive, key), join(target, 'archive', key), { mode: 0 });
}

interface Expected {
  key: string;
  tables: Record<string, { measurement_start_time?: string }[]>;
}
const chosen = new Set(keys);
const kept: string[] = [];
const partialDays = new Set<string>();
const days = new Set<string>();
for (const line of lines(join(source, 'expected/rows.jsonl.gz'))) {
  const row = JSON.parse(line) as Expected;
  if (chosen.has(row.key)) kept.push(line);
  for (const rows of Object.values(row.tables)) {
    for (const { measurement_start_time: start } of rows) {
      if (start) (chosen.has(row.key) ? days : partialDays).add(start.slice(0, 10));
    }
  }
}
const verdicts = lines(join(source, 'expected/analysis.jsonl.gz')).filter(line => {
  const day = (JSON.parse(line) as { window: string }).window;
  return days.has(day) && !partialDays.has(day);
});
write('expected/rows.jsonl.gz', kept);
write('expected/analysis.jsonl.gz', verdicts);
cpSync(join(source, 'expected/qa_rows.jsonl.gz'), join(target, 'expected/qa_rows.jsonl.gz'));
cpSync(join(source, 'fingerprints/fingerprints_dns.csv'), join(target, 'fingerprints/fingerprints_dns.csv'));
const http = readFileSync(join(source, 'fingerprints/fingerprints_http.csv'));
writeFileSync(join(target, 'fingerprints/fingerprints_http.csv.gz'), gzipSync(http, { level: 9 }));
await packTestLists(join(source, 'test-lists'), join(target, 'test-lists.tar.gz'));
console.log(
  `${keys.length} objects, ${kept.length} measurements with expected rows, ${verdicts.length} expected verdicts`,
);

/** Packs the lists as GitHub does: one folder in a tar. The same input gives the same bytes. */
async function packTestLists(from: string, to: string): Promise<void> {
  const tar = pack();
  for (const name of readdirSync(from).sort()) {
    if (/^([a-z]{2}|global)\.csv$/.test(name)) {
      tar.entry({ name: `test-lists/lists/${name}`, mtime: new Date(0) }, readFileSync(join(from, name)));
    }
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  writeFileSync(to, gzipSync(Buffer.concat(chunks), { level: 9 }));
}

function lines(file: string): string[] {
  return gunzipSync(readFileSync(file)).toString('utf8').split('\n').filter(Boolean);
}

function write(name: string, content: string[]): void {
  mkdirSync(dirname(join(target, name)), { recursive: true });
  writeFileSync(join(target, name), gzipSync(`${content.join('\n')}\n`, { level: 9 }));
}
