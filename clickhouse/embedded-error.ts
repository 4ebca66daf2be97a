/** ClickHouse cannot run in this process on that directory. The message gives the reason and the remedy. */
export class EmbeddedError extends Error {
  override name = 'EmbeddedError';
}
