import { symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { collect, makeArchive } from '../../test/support/archive.ts';
import { ArchiveMissingError, ObjectChangedError, ObjectMissingError } from './archive.ts';
import { DirectoryArchive } from './directory.ts';

const keysOf = async (archive: DirectoryArchive, prefix: string, startAfter?: string) =>
  (await collect(archive.list(prefix, { startAfter }))).map(object => object.key);

describe('directory archive', () => {
  it('lists keys in the order of their UTF-8 bytes, as S3 does', async () => {
    // "-" and "." sort before "/", so folders and files interleave; U+FFFD sorts before an emoji in UTF-8, but after it in UTF-16.
    const inOrder = ['p/a-b', 'p/a.c', 'p/a/b-c/d', 'p/a/b/c', 'p/a0', 'p/é', 'p/\ufffd', 'p/😀'];
    const { archive, root } = makeArchive(Object.fromEntries([...inOrder].reverse().map(key => [key, 'x'])));
    expect(await keysOf(archive, 'p/')).toEqual(inOrder);
    symlinkSync(join(root, 'p/a0'), join(root, 'p/linked'));
    expect(await keysOf(archive, 'p/linked')).toEqual(['p/linked']);
  });

  it('lists by prefix, which may end inside a name, and after a key', async () => {
    const { archive } = makeArchive({ 'raw/1/a': '', 'raw/1/b': '', 'raw/10/a': '', 'raw/2/a': '', other: '' });
    expect(await keysOf(archive, 'raw/1')).toEqual(['raw/1/a', 'raw/1/b', 'raw/10/a']);
    expect(await keysOf(archive, 'raw/1/')).toEqual(['raw/1/a', 'raw/1/b']);
    expect(await keysOf(archive, 'raw/', 'raw/1/a')).toEqual(['raw/1/b', 'raw/10/a', 'raw/2/a']);
    expect(await keysOf(archive, 'raw/', 'raw/1')).toEqual(['raw/1/a', 'raw/1/b', 'raw/10/a', 'raw/2/a']);
    expect(await keysOf(archive, 'raw/', 'raw/10/a')).toEqual(['raw/2/a']);
    expect(await keysOf(archive, 'none/')).toEqual([]);
    expect(await keysOf(archive, 'other/x/')).toEqual([]);
    expect(await collect(archive.folders('raw/'))).toEqual(['raw/1/', 'raw/10/', 'raw/2/']);
  });

  it('reads a listed object, and throws when it was removed or replaced', async () => {
    const { archive, root } = makeArchive({ a: Buffer.alloc(600_000, 7), b: 'bb' });
    const [a, b] = await collect(archive.list(''));
    expect(Buffer.concat(await collect(archive.open(a!)))).toEqual(Buffer.alloc(600_000, 7));
    writeFileSync(join(root, 'b'), 'cc');
    utimesSync(join(root, 'b'), 1, 1);
    await expect(collect(archive.open(b!))).rejects.toThrow(ObjectChangedError);
    await expect(collect(archive.open({ ...a!, key: 'none' }))).rejects.toThrow(ObjectMissingError);
  });

  it('throws when its directory is missing, instead of looking empty', async () => {
    await expect(collect(new DirectoryArchive('/nowhere/archive').list('raw/'))).rejects.toThrow(ArchiveMissingError);
    await expect(collect(new DirectoryArchive(import.meta.filename).list('raw/'))).rejects.toThrow(/not a directory/);
  });

  it('stops when its signal is aborted', async () => {
    const { archive } = makeArchive({ a: Buffer.alloc(600_000) });
    const [a] = await collect(archive.list(''));
    const controller = new AbortController();
    const reading = archive.open(a!, { signal: controller.signal })[Symbol.asyncIterator]();
    await reading.next();
    controller.abort(new Error('enough'));
    await expect(reading.next()).rejects.toThrow('enough');
  });
});
