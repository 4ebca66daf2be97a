/**
 * The results of `work` for each item, in the order of the items, while up to `ahead` of them are worked on. Throws what `work` throws
 * for the first item that fails; the results of others that are under way are dropped.
 */
export async function* inParallel<Item, Result>(
  items: AsyncIterable<Item> | Iterable<Item>,
  ahead: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const waiting: Promise<Result>[] = [];
  for await (const item of items) {
    const result = work(item);
    result.catch(() => {}); // it is awaited in its turn
    waiting.push(result);
    if (waiting.length >= ahead) yield await waiting.shift()!;
  }
  while (waiting.length > 0) yield await waiting.shift()!;
}
