/** A title is in the head of a page. Later ones belong to images (SVG). */
const HEAD_BYTES = 64 * 1024;
/** The probe compares up to 128 characters. */
const TITLE_CHARACTERS = 128;
const MOST_BYTES = 1024;
const OPENINGS = ['<title', '<TITLE', '<Title'] as const;

/** Returns the title of a page of HTML, at most 128 characters without blanks around them, or null if it has none. */
export function titleOf(body: Buffer): string | null {
  const head = body.subarray(0, HEAD_BYTES);
  for (const opening of OPENINGS) {
    const at = head.indexOf(opening, 0, 'latin1');
    if (at < 0) continue;
    const found = /^[^>]{0,100}>([^<]*)</.exec(body.toString('utf8', at, at + MOST_BYTES));
    const title = found?.[1]?.trim();
    if (!title) return null;
    return title.length <= TITLE_CHARACTERS ? title : Array.from(title).slice(0, TITLE_CHARACTERS).join('');
  }
  return null;
}
