/**
 * Returns the first of the names with the fewest changed, missing, added or swapped characters; undefined when all have more than `most`.
 */
export function nearestName(name: string, names: readonly string[], most: number): string | undefined {
  let nearest: string | undefined;
  let least = most + 1;
  for (const each of names) {
    const distance = editDistance(name, each);
    if (distance < least) [nearest, least] = [each, distance];
  }
  return nearest;
}

/** Counts the changed, missing, added or swapped characters between two texts (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const next = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      next[column] = Math.min(
        last[column]! + 1,
        next[column - 1]! + 1,
        last[column - 1]! + (same ? 0 : 1),
        swapped ? before[column - 2]! + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [before, last] = [last, next];
  }
  return last[b.length]!;
}
