import { ClickHouseError } from '@clickhouse/client';
import { ClickHouseUnavailableError, classify } from './errors.ts';

/** Maximum length of a message, in bytes. The rest is not read. */
const MAX_MESSAGE = 64 * 1024;
/** Number of bytes at the end of an answer that are kept to find the message of a server that does not mark it. */
const MAX_TAIL = 4096;
const EXCEPTION = /Code: (\d+)\. DB::Exception: ([\s\S]*)/;

/**
 * Yields the bytes of an answer up to the exception that ended it. A statement may fail after its first rows, when its status has already been
 * sent; the server then writes the exception into the answer. Servers since 25.11 put it between marks that contain the tag of the header
 * `x-clickhouse-exception-tag`; older servers write it as text and close the connection. Throws a TableError for both.
 */
export async function* untilException(bytes: AsyncIterable<Buffer>, tag: string | undefined): AsyncGenerator<Buffer> {
  const mark = tag ? Buffer.from(`\r\n__exception__\r\n${tag}\r\n`) : undefined;
  let held: Buffer = Buffer.alloc(0);
  let tail = '';
  let message: Buffer | undefined;
  try {
    for await (const chunk of bytes) {
      if (message) {
        if (message.length < MAX_MESSAGE) message = Buffer.concat([message, chunk]);
        continue;
      }
      if (!mark) {
        tail = (tail + chunk.toString('latin1', Math.max(0, chunk.length - MAX_TAIL))).slice(-MAX_TAIL);
        yield chunk;
        continue;
      }
      const data = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
      const at = data.indexOf(mark);
      const end = at >= 0 ? at : data.length - begun(data, mark);
      if (at >= 0) message = data.subarray(at + mark.length);
      held = at >= 0 ? held : data.subarray(end);
      if (end > 0) yield data.subarray(0, end);
    }
  } catch (error) {
    throw message ? exceptionOf(message.toString()) : brokenOff(error, Buffer.from(tail, 'latin1').toString());
  }
  if (message) throw exceptionOf(message.toString());
  if (held.length > 0) yield held;
}

/** Returns the number of bytes at the end of `data` that are the beginning of `mark`. */
function begun(data: Buffer, mark: Buffer): number {
  for (let length = Math.min(data.length, mark.length - 1); length > 0; length--) {
    if (data.subarray(data.length - length).equals(mark.subarray(0, length))) return length;
  }
  return 0;
}

function brokenOff(error: unknown, tail: string): Error {
  return EXCEPTION.test(tail) ? exceptionOf(tail) : classify(error);
}

function exceptionOf(text: string): Error {
  const found = EXCEPTION.exec(text);
  if (!found) return new ClickHouseUnavailableError('ClickHouse broke its answer off without a message');
  const [, code = '', rest = ''] = found;
  const type = /^([\s\S]*?)\s*\(([A-Z_0-9]+)\)(?: \(version [^\n]*)?/.exec(rest);
  return classify(new ClickHouseError({ message: type?.[1] ?? rest.trim(), code, type: type?.[2] }));
}
