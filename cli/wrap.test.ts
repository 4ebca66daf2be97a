import { expect, test } from 'vitest';
import { cutEvery, wrap } from './wrap.ts';

test('a text is broken at blanks', () => {
  expect(wrap('the quick brown fox', 10)).toEqual(['the quick', 'brown fox']);
  expect(wrap('', 10)).toEqual(['']);
});

test('a word that is longer than a line is cut, and the next word follows its end', () => {
  expect(wrap('see http://host/a/long/path now', 10)).toEqual(['see', 'http://hos', 't/a/long/p', 'ath now']);
});

test('characters beyond 16 bits are not cut in half', () => {
  expect(cutEvery('😀😀😀', 4)).toEqual(['😀😀', '😀']);
  expect(cutEvery('', 5)).toEqual([]);
});

test('a line with wide characters is as wide as the terminal at most', () => {
  expect(wrap('検閲 された サイト', 9)).toEqual(['検閲', 'された', 'サイト']);
  expect(cutEvery('検閲a検閲', 3)).toEqual(['検', '閲a', '検', '閲']);
  expect(cutEvery('検閲', 1)).toEqual(['検', '閲']);
});
