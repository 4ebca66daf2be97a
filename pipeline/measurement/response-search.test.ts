import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { type Pattern, PatternMatcher } from './patterns.ts';
import { ResponseSearch } from './response-search.ts';

const PATTERNS: readonly Pattern[] = [
  { place: 'body', kind: 'contains', text: 'this page is blocked' },
  { place: 'header.server', kind: 'prefix', text: 'Protected by' },
  { place: 'header.via', kind: 'full', text: 'Protected by' },
];

/** Counts the searches. */
class Counting extends PatternMatcher {
  searches = 0;
  override inBody(body: Buffer) {
    this.searches++;
    return super.inBody(body);
  }
  override inHeader(name: string, value: Buffer) {
    this.searches++;
    return super.inHeader(name, value);
  }
}

test('a body is searched once, and each of its digests is complete', () => {
  const matcher = new Counting(PATTERNS);
  const search = new ResponseSearch(matcher);
  const body = '<title>A</title> this page is blocked';
  for (const text of [body, `${body}.`, 'another', body, 'another']) {
    const sha1 = createHash('sha1').update(text).digest('hex');
    const found = text.startsWith(body);
    const digest = { length: text.length, sha1, title: found ? 'A' : null, patterns: found ? [0] : [] };
    expect(search.digestOf(Buffer.from(text))).toEqual(digest);
  }
  expect(matcher.searches).toBe(3);
});

test('a value of a header is searched once for each header', () => {
  const matcher = new Counting(PATTERNS);
  const search = new ResponseSearch(matcher);
  const names = ['Server', 'via', 'date', 'accept'];
  expect(names.map(name => search.searchedName(name))).toEqual(['server', 'via', undefined, undefined]);
  for (const value of ['Protected by', Buffer.from('Protected by'), 'Protected by', 'other', 'other']) {
    const found = value !== 'other';
    expect(search.inHeader('server', value)).toEqual(found ? [1] : []);
    expect(search.inHeader('via', value)).toEqual(found ? [2] : []);
  }
  // Bytes are not remembered.
  expect(matcher.searches).toBe(6);
  const long = `Protected by ${'x'.repeat(1000)}`;
  for (let i = 0; i < 2; i++) expect(search.inHeader('server', long)).toEqual([1]);
  expect(matcher.searches).toBe(8);
});

test('more bodies and values than are remembered have the same results', () => {
  const search = new ResponseSearch(new PatternMatcher(PATTERNS));
  for (let i = 0; i < 10_000; i++) {
    const text = `${i % 5000} ${i % 2 ? 'this page is blocked' : ''}`;
    expect(search.digestOf(Buffer.from(text)).patterns).toEqual(i % 2 ? [0] : []);
    expect(search.inHeader('server', `${i % 2 ? 'Protected by' : ''}${i % 5000}`)).toEqual(i % 2 ? [1] : []);
  }
});
