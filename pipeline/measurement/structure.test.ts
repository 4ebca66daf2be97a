import { describe, expect, it } from 'vitest';
import { parseJson } from './json.ts';
import { ExactNeeded } from './python.ts';
import {
  boolean,
  decode,
  defaulted,
  integer,
  type Kind,
  list,
  map,
  nullable,
  optional,
  real,
  required,
  structure,
  text,
} from './structure.ts';

/** Expected values are the results of mashumaro 3.22 on Python 3.11. */
const exact = (json: string) => parseJson(Buffer.from(json), true).value;

describe('conversions (observations.md section 2)', () => {
  it.each([
    ['null', 'None'],
    ['true', 'True'],
    ['12.7', '12.7'],
    ['1.0', '1.0'],
    ['1', '1'],
    ['-0.0', '-0.0'],
    ['1e22', '1e+22'],
    ['1e16', '1e+16'],
    ['0.0001', '0.0001'],
    ['1e-7', '1e-07'],
    ['123456789012345678', '123456789012345678'],
    ['123456789012345678901234567890', '1.2345678901234568e+29'],
    ['[]', '[]'],
    ['["a", 1, null]', "['a', 1, None]"],
    ['{"a": {"b": false}}', "{'a': {'b': False}}"],
    ['["it\'s"]', '["it\'s"]'],
    ['["a\\n\\u00e9\\u0001\\\\"]', "['a\\né\\x01\\\\']"],
  ])('text of %s is %s', (json, expected) => {
    expect(decode(text, exact(json))).toBe(expected);
  });

  it('throws ExactNeeded if a number was parsed without its text', () => {
    expect(() => decode(text, 1)).toThrow(ExactNeeded);
  });

  it.each([
    [12.7, 12],
    [-12.7, -12],
    [true, 1],
    ['12', 12],
    [' 12 ', 12],
    ['1_0', 10],
    ['+5', 5],
    [1e22, 1e22],
  ])('whole number of %j is %d', (value, expected) => {
    expect(decode(integer, value)).toBe(expected);
  });

  it.each([[''], ['a'], ['1.5'], ['1e3'], ['0x10'], [null], [[]], [{}]])('%j is not a whole number', value => {
    expect(() => decode(integer, value)).toThrow('must be a whole number');
  });

  it.each([
    ['1e3', 1000],
    ['.5', 0.5],
    [true, 1],
    [2, 2],
  ])('number of %j is %d', (value, expected) => {
    expect(decode(real, value)).toBe(expected);
  });

  it.each([['nan'], ['inf'], [''], ['0x10'], [[1]], [null]])('%j is not a number', value => {
    expect(() => decode(real, value)).toThrow('must be a number');
  });

  it.each([
    [null, false],
    [0, false],
    ['', false],
    ['false', true],
    [[], false],
    [[0], true],
    [{}, false],
    [{ a: 0 }, true],
  ])('truth of %j is %s', (value, expected) => {
    expect(decode(boolean, value)).toBe(expected);
  });

  it('converts a text to the list of its characters, an object to the list of its keys', () => {
    expect(decode(list(text), 'a😀')).toEqual(['a', '😀']);
    expect(decode(list(text), { a: 1, b: 2 })).toEqual(['a', 'b']);
    expect(() => decode(list(text), true)).toThrow('must be a list');
  });

  it('keeps __proto__ as a key of a map', () => {
    const value = decode(map(text), exact('{"__proto__": 1, "b": 2}'));
    expect(Object.entries(value)).toEqual([
      ['__proto__', '1'],
      ['b', '2'],
    ]);
  });
});

describe('structures', () => {
  const inner = structure({ a: required(text), b: optional(integer) });
  const outer: Kind<unknown> = structure({ items: required(list(inner)), n: nullable(text), url: defaulted(text, '') });

  it('converts in place and does not change undeclared keys', () => {
    const value = { items: [{ a: 'x', b: '7', other: [1] }], n: null };
    expect(decode(outer, value)).toBe(value);
    expect(value).toEqual({ items: [{ a: 'x', b: 7, other: [1] }], n: null, url: '' });
  });

  it.each([
    [{ items: [{ a: 'x' }, {}], n: '' }, 'items[1].a is missing'],
    [{ items: [{ a: 'x', b: {} }], n: '' }, 'items[0].b must be a whole number, is an object'],
    [{ items: [5], n: '' }, 'items[0] must be an object, is 5'],
    [{ items: [] }, 'n is missing'],
    [[], 'the document must be an object, is a list'],
  ])('names the field of %j', (value, message) => {
    expect(() => decode(outer, value)).toThrow(message);
  });
});
