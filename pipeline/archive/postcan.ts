import type { RawDocument, Reading } from './document.ts';
import { gunzipped } from './gunzip.ts';
import { tooLong } from './lines.ts';
import { BrokenPostError, openPost } from './post.ts';
import { readTar } from './tar.ts';

/** Approximate bytes, and maximum members, of an array of posts. A hostile tar can contain a million empty members. */
const BATCH_BYTES = 512 * 1024;
const BATCH_MEMBERS = 1000;

/**
 * Reads L2: a tar of posts (archive.md section 7). Some old objects end in `.gz` but are not compressed, so the first bytes decide.
 * The uid of a measurement is the name of its member.
 */
export async function* readPosts({ stored, maxBytes, counted }: Reading): AsyncGenerator<RawDocument[]> {
  let line = 0;
  let batch: RawDocument[] = [];
  let bytes = 0;
  try {
    for await (const member of readTar(counted(gunzipped(stored)))) {
      line++;
      const uid = uidOf(member.name);
      if (uid === undefined || !member.isFile) {
        batch.push(skipped(line, `the member "${member.name.slice(0, 100)}" is not a ${uid ? 'file' : '.post'}`));
      } else if (member.size > maxBytes) {
        batch.push(tooLong(line, member.size, maxBytes, uid));
      } else {
        const pieces: Buffer[] = [];
        for await (const piece of member.bytes) pieces.push(piece);
        const post = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
        batch.push(toDocument(line, uid, post));
        bytes += post.length;
      }
      if (bytes >= BATCH_BYTES || batch.length >= BATCH_MEMBERS) {
        yield batch;
        batch = [];
        bytes = 0;
      }
    }
  } catch (error) {
    yield batch; // the posts before the damage
    throw error;
  }
  yield batch;
}

/** Returns the uid of `<folder>/20210614004521.999962_JO_signal_68eb19b439326d60.post`. */
function uidOf(member: string): string | undefined {
  const name = member.slice(member.lastIndexOf('/') + 1);
  return name.endsWith('.post') && name.length > '.post'.length ? name.slice(0, -'.post'.length) : undefined;
}

function toDocument(line: number, uid: string, post: Buffer): RawDocument {
  try {
    const { format, content } = openPost(post);
    if (format !== 'json')
      return skipped(line, `the post has format ${JSON.stringify(format) ?? 'none'}, not "json"`, uid);
    if (content) return { line, uid, bytes: content };
    return broken(line, uid, 'the post has no content');
  } catch (error) {
    if (error instanceof BrokenPostError) return broken(line, uid, error.message);
    throw error;
  }
}

function broken(line: number, uid: string, message: string): RawDocument {
  return { line, uid, bytes: Buffer.alloc(0), error: { class: 'BrokenPost', message, skipped: false } };
}

function skipped(line: number, message: string, uid?: string): RawDocument {
  return { line, uid, bytes: Buffer.alloc(0), error: { class: 'UnsupportedPost', message, skipped: true } };
}
