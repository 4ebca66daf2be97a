import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readFingerprints } from '../../pipeline/reference/fingerprints.ts';
import { HttpFingerprints } from '../../pipeline/reference/http-fingerprints.ts';
import { FIXTURES, SHARED } from './expected.ts';

const list = gunzipSync(readFileSync(join(import.meta.dirname, '../fixtures/fingerprints/fingerprints_http.csv.gz')));
const { rows, problems } = readFingerprints(list, 'http');
const fingerprints = new HttpFingerprints(rows, 'test');
const searched = rows
  .filter(({ scope }) => scope !== 'fp')
  .map(row => ({
    ...row,
    bytes: Buffer.from(row.pattern),
    // On Latin-1, a byte is a character.
    regexp: row.pattern_type === 'regexp' ? new RegExp(Buffer.from(row.pattern).toString('latin1'), 's') : undefined,
  }));

/** The straightforward matcher: one fingerprint after the other, on the whole bytes. */
function expected(place: string, text: Buffer): string[] {
  return searched
    .filter(({ location_found, pattern_type, bytes, regexp }) => {
      if (location_found !== place) return false;
      if (regexp) return regexp.test(text.toString('latin1'));
      if (pattern_type === 'full') return text.equals(bytes);
      return pattern_type === 'prefix' ? text.subarray(0, bytes.length).equals(bytes) : text.includes(bytes);
    })
    .map(({ name }) => name);
}

type Value = string | { data: string } | null | undefined;

function bytesOf(value: Value): Buffer {
  return typeof value === 'string' ? Buffer.from(value) : Buffer.from(value?.data ?? '', 'base64');
}

interface Response {
  readonly body?: Value;
  readonly headers?: Record<string, Value>;
}

/** Yields the responses of all measurements in a folder. */
function* responsesOf(folder: string): Generator<Response> {
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('.jsonl.gz')) continue;
    for (const line of gunzipSync(readFileSync(join(folder, path)))
      .toString()
      .split('\n')) {
      if (line === '') continue;
      const requests = (JSON.parse(line) as { test_keys?: { requests?: { response?: Response }[] } }).test_keys
        ?.requests;
      for (const { response } of requests ?? []) if (response) yield response;
    }
  }
}

/** Compares both matchers on all bodies and headers. Returns the number of bodies, and how often each fingerprint was found. */
function compare(folder: string): { bodies: number; found: Record<string, number> } {
  let bodies = 0;
  const found: Record<string, number> = {};
  const check = (place: string, text: Buffer, got: readonly number[]) => {
    const names = fingerprints.namesOf(got);
    if (names.join() !== expected(place, text).join()) expect(names).toEqual(expected(place, text));
    for (const name of names) found[name] = (found[name] ?? 0) + 1;
  };
  const { matcher } = fingerprints;
  for (const { body, headers } of responsesOf(folder)) {
    const bytes = bytesOf(body);
    if (bytes.length > 0) bodies++;
    check('body', bytes, matcher.inBody(bytes));
    for (const [name, value] of Object.entries(headers ?? {})) {
      const key = name.toLowerCase();
      check(`header.${key}`, bytesOf(value), matcher.inHeader(key, bytesOf(value)));
    }
  }
  return { bodies, found };
}

describe('fingerprints of responses', () => {
  it('all of OONI’s list can be used', () => {
    expect(problems).toEqual([]);
    expect(rows.length).toBe(1729);
  });

  it('keep the line breaks of their patterns', () => {
    const { bytes } = searched.find(({ name }) => name === 'cp.d_corp_multacom_satellite')!;
    // As the fast path has it.
    expect(bytes.toString()).toBe('<title>Page Restricted</title>\r\n');
    expect(searched.filter(row => row.pattern.includes('\r\n'))).toHaveLength(6);
  });

  it('are found as by a straightforward matcher, on the fixtures', { timeout: 300_000 }, () => {
    const { bodies, found } = compare(FIXTURES.archive);
    expect(bodies).toBeGreaterThan(100);
    expect(Object.keys(found).length).toBeGreaterThan(3);
  });

  it.skipIf(!existsSync(SHARED.archive))(
    'are found as by a straightforward matcher, on all available measurements',
    { timeout: 1_200_000 },
    () => {
      const { bodies, found } = compare(SHARED.archive);
      expect(bodies).toBeGreaterThan(2000);
      expect(found).toMatchObject({ 'ooni.ru_5': 1, 'ooni.in_0': 1, 'ooni.id_39': 1 });
    },
  );
});

/** A fingerprint in the older form of the fast path, the pipeline before the Python one. */
interface FastPathFingerprint {
  readonly name: string;
  readonly location_found: string;
  readonly pattern_type: string;
  readonly pattern: string;
}

/* What the tests of the fast path (ooni/backend, test_unit.py) expect of responses. */
describe('responses that the fast path knows', () => {
  const { matcher } = fingerprints;
  const namesIn = (place: string, text: Buffer) =>
    fingerprints.namesOf(
      place === 'body' ? matcher.inBody(text) : matcher.inHeader(place.slice('header.'.length), text),
    );

  it.each([
    ['Malaysia', Buffer.from('foo ... Makluman/Notification ... foo'), ['ooni.my_0']],
    ['Italy', Buffer.from('GdF Stop Page'), ['ooni.it_0']],
    [
      'a DNS message',
      Buffer.from('q82BgAABAAEAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQABwAwAAQABAAA/+AAEXbjYIg==', 'base64'),
      [],
    ],
  ])('%s', (_, body, names) => {
    expect(namesIn('body', body)).toEqual(names);
  });

  const path = join(SHARED.archive, '../fingerprints/fastpath-tests/fingerprints_http.json');
  it.skipIf(!existsSync(path))('have the fingerprints that the fast path loads', () => {
    const listed = new Map(searched.map(each => [each.name, each]));
    const older = JSON.parse(readFileSync(path, 'utf8')) as FastPathFingerprint[];
    let compared = 0;
    for (const { name, location_found, pattern_type, ...more } of older) {
      const pattern = listed.get(name)?.pattern ?? '';
      // Reading the list removes blanks around a field without quotes.
      if (![more.pattern, more.pattern.trim()].includes(pattern) || pattern_type === 'regexp') continue;
      const text = { full: pattern, prefix: `${pattern} foo`, contains: `foo ${pattern} foo` }[pattern_type];
      expect(namesIn(location_found, Buffer.from(text!)), name).toContain(name);
      compared++;
    }
    // The other fingerprints are generic pages (scope fp), regular expressions, or have changed since.
    expect(compared).toBe(1218);
  });
});
