/**
 * Returns the number of bytes that clean base64 decodes to: the standard alphabet in groups of four, padded. Returns -1 if the
 * shape is wrong. A text of this shape that decodes to fewer bytes has other characters, because the runtime's decoder ignores
 * unknown characters and also accepts `-` and `_`.
 */
export function cleanLength(base64: string): number {
  if (base64.length % 4 !== 0 || base64.includes('-') || base64.includes('_')) return -1;
  const padding = base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0;
  return (base64.length / 4) * 3 - padding;
}
