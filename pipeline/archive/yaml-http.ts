import { type Entry, isEntry, ReportShapeError } from './yaml-shape.ts';

/** Normalises the HTTP tests of old reports: one form for requests, responses and headers, in the current order (archive.md section 11). */
export function normaliseHttp(entry: Entry, testKeys: Entry): void {
  entry.input ??= urlOption(entry.options);
  const sessions = testKeys.requests ?? [];
  if (!Array.isArray(sessions)) throw new ReportShapeError('test_keys.requests is not a list');
  if (testKeys.request && testKeys.response) {
    sessions.push({ request: testKeys.request, response: testKeys.response });
    delete testKeys.request;
    delete testKeys.response;
  }
  const direct: Entry[] = [];
  const overTor: Entry[] = [];
  for (const session of sessions) {
    if (!isEntry(session)) throw new ReportShapeError('a request is not a mapping');
    const response = normaliseMessage(session.response);
    const request = normaliseMessage(session.request);
    request.tor = torOf(request);
    if (typeof request.url === 'string') request.url = request.url.replaceAll('shttp://', 'http://');
    const length = Object.entries(response.headers as Entry).find(([name]) => name.toLowerCase() === 'content-length');
    const kind = (request.tor as Entry).is_tor ? overTor : direct;
    kind.push({ ...session, request, response, response_length: length?.[1] ?? null });
  }
  testKeys.requests = [...direct.slice(0, 1), ...overTor.slice(0, 1), ...direct.slice(1), ...overTor.slice(1)];
}

/** Returns the URL from the options of the command line, `--url` or `-u`. */
function urlOption(options: unknown): unknown {
  if (!Array.isArray(options)) return null;
  const at = Math.max(options.indexOf('--url'), options.indexOf('-u'));
  return at === -1 ? null : (options[at + 1] ?? null);
}

function normaliseMessage(message: unknown): Entry {
  if (!isEntry(message)) return { body: null, headers: {} };
  return { ...message, body: withoutNul(message.body), headers: normaliseHeaders(message.headers) };
}

function withoutNul(value: unknown): unknown {
  return typeof value === 'string' ? value.replaceAll('\0', '') : (value ?? null);
}

/** Converts (name, values) pairs to a map of the first values. */
function normaliseHeaders(headers: unknown): Entry {
  const pairs = isEntry(headers) ? Object.entries(headers) : (headers ?? []);
  if (!Array.isArray(pairs)) throw new ReportShapeError('headers are neither a list nor a mapping');
  const map = (pairs as unknown[]).map((pair): [string, unknown] => {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string')
      throw new ReportShapeError('a header is not a pair of name and values');
    let value: unknown = pair[1];
    while (Array.isArray(value)) value = value[0];
    return [pair[0], withoutNul(value)];
  });
  return Object.fromEntries(map);
}

/** Returns `{is_tor, exit_ip, exit_name}` from any of the old forms: a `shttp` URL, a boolean or a mapping. */
function torOf(request: Entry): Entry {
  const none = { is_tor: false, exit_ip: null, exit_name: null };
  if (typeof request.url === 'string' && request.url.startsWith('shttp')) return { ...none, is_tor: true };
  if (request.tor === true) return { ...none, is_tor: true };
  if (isEntry(request.tor) && request.tor.is_tor === true) {
    return { is_tor: true, exit_ip: request.tor.exit_ip ?? null, exit_name: request.tor.exit_name ?? null };
  }
  return none;
}
