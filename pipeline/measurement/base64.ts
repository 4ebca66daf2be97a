/**
 * How many bytes a text of clean base64 holds: the standard alphabet in groups of four, padded. A text of that alphabet's shape that decodes to
 * fewer has something else in it; -1 when the shape is wrong. The runtime's decoder passes over what it does not know, and takes `-` and `_`.
 */
export function cleanLength(base64: string): number {
  if (base64.length % 4 !== 0 || base64.includes('-') || base64.includes('_')) return -1;
  const padding = base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0;
  return (base64.length / 4) * 3 - padding;
}
