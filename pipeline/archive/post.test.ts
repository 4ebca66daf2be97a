import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BrokenPostError, openPost } from './post.ts';

const open = (text: string) => {
  const { format, content } = openPost(Buffer.from(text));
  return { format, content: content?.toString() };
};

describe('post', () => {
  it('is returned as bytes, whatever is around and in it', () => {
    expect(open('{"format":"json","content":{"a":[1,"]}"]}}')).toEqual({ format: 'json', content: '{"a":[1,"]}"]}' });
    expect(open(' {\n"content" : "\\\\\\"" ,"x":[{}], "format":"j\\u0073on"} ')).toEqual({
      format: 'json',
      content: '"\\\\\\""',
    });
    expect(open('{"content":-1.5e3,"format":null}')).toEqual({ format: undefined, content: '-1.5e3' });
    expect(open('{}')).toEqual({ format: undefined, content: undefined });
    expect(open('{"content":1,"content":2}')).toEqual({ format: undefined, content: '2' });
  });

  it('finds the same members in any JSON object as a JSON parser', () => {
    const post = fc.record(
      { format: fc.jsonValue(), content: fc.jsonValue(), other: fc.jsonValue() },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(post, fc.constantFrom(0, 1, 3), (value, indent) => {
        const { format, content } = openPost(Buffer.from(JSON.stringify(value, null, indent)));
        const parsed = JSON.parse(JSON.stringify(value)) as { format?: unknown; content?: unknown };
        expect(content && JSON.parse(content.toString())).toEqual(parsed.content);
        expect(format).toEqual(typeof parsed.format === 'string' ? parsed.format : undefined);
      }),
    );
  });

  it('is rejected when it is cut off anywhere', () => {
    const text = '{"format":"json","content":{"a":["b\\"",1,{}],"c":null}}';
    for (let length = 0; length < text.length; length++)
      expect(() => open(text.slice(0, length))).toThrow(BrokenPostError);
  });

  it.each(['', '[]', '1', '{"a"}', '{"a":}', '{"a":1,}', '{,}', '{"a":1}x', '{"a":1 2}', '{a:1}', '{"\\x":1}'])(
    'rejects %j',
    text => {
      expect(() => open(text)).toThrow(BrokenPostError);
    },
  );

  it('accepts deep nesting', () => {
    const deep = '['.repeat(2_000_000) + ']'.repeat(2_000_000);
    expect(open(`{"format":"json","content":${deep}}`).content).toHaveLength(deep.length);
  });
});
