import { transformError } from '../measurement/errors.ts';
import type { TestKeys, TextOrBinary } from '../measurement/model.ts';
import { OBS_HTTP_MIDDLEBOX } from '../tables/schema.ts';
import { type MeasurementRows, rowsOf } from './measurement-rows.ts';
import { decodeBase64 } from './text.ts';

/** Rows of the tests that look for middleboxes on the path of HTTP: one row per measurement (observations.md section 12). */

const writeRow = rowsOf(OBS_HTTP_MIDDLEBOX);

/** Writes the row of http_invalid_request_line: the parts that an echo server returned differently from the sent ones. */
export function writeInvalidRequestLine(rows: MeasurementRows, keys: TestKeys<'http_invalid_request_line'>): void {
  writeRow(rows, 1, compareRequestLines(keys.sent ?? [], keys.received ?? []));
}

function compareRequestLines(sent: readonly string[], received: readonly TextOrBinary[]): object {
  if (sent.length === 0) return { hirl_failure: 'missing_sent', hirl_success: false };
  if (received.length === 0) return { hirl_failure: 'missing_received', hirl_success: false };
  const columns: Record<string, Buffer> = {};
  for (let i = 0; i < 5; i++) {
    const line = sent[i];
    const answer = received[i];
    const missing = { ...columns, hirl_failure: `missing_received_${i}`, hirl_success: false };
    if (line === undefined || answer === undefined) return missing;
    const sentBytes = Buffer.from(line);
    const receivedBytes = typeof answer === 'string' ? Buffer.from(answer) : decodeBase64(answer.data);
    if (sentBytes.equals(receivedBytes)) continue;
    const kind = requestLineKind(line);
    if (kind === undefined) return missing;
    columns[`hirl_sent_${kind}`] = sentBytes;
    columns[`hirl_received_${kind}`] = receivedBytes;
  }
  return { ...columns, hirl_success: true };
}

/**
 * Identifies which of the five malformed request lines this is: invalid method, field count, big method, invalid version, cache
 * manager. Returns undefined if it has too few parts. Throws MeasurementError UnknownRequestLine.
 */
function requestLineKind(line: string): number | undefined {
  const parts = line.split(' ');
  const [method, path, version] = parts;
  const methodLength = [...method!].length;
  if (methodLength === 4) return 0;
  if (parts.length === 4) return 1;
  if (methodLength === 1024) return 2;
  if (method === 'GET') {
    if (path === undefined) return undefined;
    if (path === '/') {
      if (version === undefined) return undefined;
      if (version.trim() !== 'HTTP/1.1') return 3;
    }
  }
  if (line.includes('cache_object://localhost/')) return 4;
  throw transformError('UnknownRequestLine', `a request line of no known kind: "${line.slice(0, 60)}"`);
}

/**
 * Writes the row of http_header_field_manipulation: whether there is an answer to compare, and what the probe found to be changed. Upstream
 * never implemented the comparison (docs/deviations.md, header-changes).
 */
export function writeHeaderFieldManipulation(
  rows: MeasurementRows,
  keys: TestKeys<'http_header_field_manipulation'>,
): void {
  const failure = headerTestFailure(keys);
  const columns =
    failure === null ? { hfm_success: true, hfm_diff: changesOf(keys) } : { hfm_failure: failure, hfm_success: false };
  writeRow(rows, 1, columns);
}

/** Returns what came back changed, by the names of the test (ts-006), then the names of headers that were added or removed; null: nothing. */
function changesOf({ tampering }: TestKeys<'http_header_field_manipulation'>): string | null {
  const { header_name_diff, ...flags } = tampering ?? {};
  const changes = Object.entries(flags).flatMap(([name, isChanged]) => (isChanged === true ? [name] : []));
  return [...changes, ...(header_name_diff ?? [])].join(',') || null;
}

function headerTestFailure({ requests }: TestKeys<'http_header_field_manipulation'>): string | null {
  const first = requests?.[0];
  if (!first) return 'missing_requests';
  if (!first.response) return first.failure || 'missing_response';
  const { body } = first.response;
  if (body == null) return 'missing_response_body';
  if (typeof body !== 'string') decodeBase64(body.data);
  return first.request?.headers == null ? 'malformed_request' : null;
}
