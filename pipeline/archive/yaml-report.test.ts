import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RawDocument } from './document.ts';
import { YamlReport } from './yaml-report.ts';

const fixture = (name: string) => readFileSync(join(import.meta.dirname, '../../test/fixtures/yaml', name));
const expected = (name: string) =>
  fixture(`${name}.expected.jsonl`)
    .toString()
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>);

function read(report: Buffer | string, { step = 1e9, maxBytes = 100_000 } = {}): RawDocument[] {
  const bytes = Buffer.from(report);
  const reader = new YamlReport(maxBytes);
  const documents: RawDocument[] = [];
  for (let at = 0; at < bytes.length; at += step) documents.push(...reader.push(bytes.subarray(at, at + step)));
  documents.push(...reader.end());
  expect(reader.documents).toBe(documents.length);
  return documents;
}
const measurement = ({ bytes, uid }: RawDocument) => ({ ...JSON.parse(bytes.toString()), measurement_uid: uid });
const HEADER = '---\nprobe_cc: IT\nprobe_asn: AS137\nstart_time: 1380000000.0\ntest_name: http_host\n...\n';

describe('YAML reports', () => {
  it.each(['http_requests', 'dns_consistency'])('of %s match the measurements of the Python pipeline', name => {
    for (const step of [1, 3, 50, 1e9]) {
      const documents = read(fixture(`${name}.report`), { step }).filter(document => !document.error);
      const measurements = documents.map(measurement).filter(({ input }) => input !== 'other');
      expect(measurements).toEqual(expected(name));
    }
  });

  it('keep an entry with times of the YAML type', () => {
    const other = read(fixture('dns_consistency.report'))
      .map(measurement)
      .find(({ input }) => input === 'other');
    expect(other).toMatchObject({
      test_start_time: '2014-01-02 03:04:05',
      measurement_start_time: '2014-01-02 03:04:06',
      id: '0f1a',
    });
  });

  it('lose only the entry that is not YAML', () => {
    const documents = read(fixture('http_requests.report'));
    expect(documents.map(({ line, error }) => [line, error?.class])).toEqual([
      [1, undefined],
      [2, 'BrokenYaml'],
      [3, undefined],
    ]);
    expect(documents[1]!.error!.skipped).toBe(false);
  });

  it('in format 0.2.0 are not rearranged', () => {
    const [document] = read(
      `${HEADER}---\ndata_format_version: 0.2.0\ntest_keys: {a: 1}\nextra: 2\nstart_time: 3\n...\n`,
    );
    expect(measurement(document!)).toMatchObject({
      test_keys: { a: 1 },
      extra: 2,
      measurement_start_time: null,
      test_name: 'http_host',
    });
  });

  it('ignore the start time of the header as soon as an entry has its own', () => {
    const header = HEADER.replace('...\n', 'test_start_time: 1390000000.0\n...\n');
    const entry = (more: string) => `---\ninput: x\n${more}...\n`;
    const documents = read(`${header}${entry('')}${entry('test_start_time: 1380000060.0\n')}${entry('')}`).map(
      measurement,
    );
    expect(documents.map(document => document.measurement_start_time)).toEqual([
      '2014-01-17 23:06:40',
      '2013-09-24 05:21:00',
      '2013-09-24 05:20:00',
    ]);
  });

  it('of unsupported tests are skipped, not failed', () => {
    for (const name of [
      'captivep',
      'Multi Protocol Traceroute Test',
      'TCP Connect',
      'bridge_reachability',
      'tls-handshake',
    ]) {
      const [document] = read(`${HEADER.replace('http_host', name)}---\ninput: x\n...\n`);
      expect(document!.error).toMatchObject({ class: 'UnsupportedYaml', skipped: true });
    }
  });

  it('count an entry of an unknown shape as failed', () => {
    for (const entry of ['requests: {a: 1}', 'requests: [1]', 'start_time: x', '- a', 'text', 'test_start_time: 5-6']) {
      const [document] = read(`${HEADER.replace('start_time: 1380000000.0\n', '')}---\n${entry}\n...\n`);
      expect(document!.error).toMatchObject({ class: 'BrokenYaml', skipped: false });
    }
  });

  it('end at a broken frame and at a document that is cut off', () => {
    const entry = '---\ninput: x\n...\n';
    const broken = read(`${HEADER}${entry}garbage\n${entry}`);
    expect(broken.map(({ error }) => error?.message)).toEqual([
      undefined,
      'a document of the report does not start with "---"',
    ]);
    const cut = read(`${HEADER}${entry}---\ninput: y\n`);
    expect(cut.map(({ error }) => error?.message)).toEqual([undefined, 'the report ends within a document']);
    expect(read('---\n- no mapping\n...\n')[0]!.error!.message).toContain('header of the report cannot be used');
    expect(read('')).toEqual([]);
  });

  it('skip a document over the size limit', () => {
    const long = `---\ninput: ${'x'.repeat(5000)}\n...\n`;
    for (const step of [1, 77, 1e9]) {
      const documents = read(`${HEADER}${long}---\ninput: y\n...\n`, { step, maxBytes: 1000 });
      expect(documents.map(({ line, error }) => [line, error?.class])).toEqual([
        [1, 'DocumentTooLong'],
        [2, undefined],
      ]);
      expect(documents[0]!.error!.message).toContain(`${long.length} bytes`);
    }
  });

  it('survive endless aliases and nesting', () => {
    const laughs = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...[...'bcdefgh'].map((name, at) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[at]}`)}]`),
    ];
    const deep = `input: ${'['.repeat(20_000)}${']'.repeat(20_000)}`;
    for (const entry of [laughs.join('\n'), deep]) {
      const documents = read(`${HEADER}---\n${entry}\n...\n---\ninput: y\n...\n`);
      expect(documents.map(({ error }) => error?.class)).toEqual(['BrokenYaml', undefined]);
    }
  });

  it('are not parsed if they have too many values, and are parsed if they have long strings', () => {
    const maxBytes = 32 * 1024 * 1024;
    for (const many of [
      `a:\n${'- b\n'.repeat(600_000)}`,
      `a: [${'[],'.repeat(300_000)}]`,
      `a: ${'- '.repeat(600_000)}`,
    ]) {
      const documents = read(`${HEADER}---\n${many}\n...\n---\ninput: y\n...\n`, { maxBytes });
      expect(documents.map(({ error }) => error?.message)).toEqual([
        'not YAML: it may hold more than 500000 values',
        undefined,
      ]);
    }
    const body = `body: |\n${`  ${'<p class="x">text</p>'.repeat(5)}\n`.repeat(20_000)}`;
    const [document] = read(`${HEADER}---\n${body}...\n`, { maxBytes });
    expect(document!.error).toBeUndefined();
    expect(measurement(document!).test_keys.body).toHaveLength(20_000 * 106);
  });

  it('do not let a key change a prototype', () => {
    const [document] = read(`${HEADER}---\n__proto__: {polluted: 1}\nconstructor: 2\n...\n`);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(document!.error).toBeUndefined();
  });

  it('are parsed in linear time when a text almost matches a pattern', () => {
    const name = `${'a-'.repeat(40_000)}!`;
    const entry = `queries: [{query: q, answers: [['type=CNAME', 'name=${name}']]}]`;
    const [document] = read(`${HEADER.replace('http_host', 'dns_consistency')}---\n${entry}\n...\n`);
    expect(document!.error).toBeUndefined();
  });
});
