import { expect, test } from 'vitest';
import { clause, sentence } from './sentence.ts';

test.each([
  ['the disk is full', 'the disk is full.', 'the disk is full'],
  ['the disk is full.', 'the disk is full.', 'the disk is full'],
  ['the disk is full.\n', 'the disk is full.', 'the disk is full'],
  // ClickHouse ends its guesses like this.
  ["Maybe you meant: ['domain']?.", "Maybe you meant: ['domain']?", "Maybe you meant: ['domain']?"],
  ['is it full?', 'is it full?', 'is it full?'],
])('%j can be followed', (message, whole, part) => {
  expect(sentence(message)).toBe(whole);
  expect(clause(message)).toBe(part);
});
