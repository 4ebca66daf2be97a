import { isObject } from './structure.ts';

/**
 * Converts a transaction of the Python probe to the current form: headers are pairs of a name and a list of values, and `tor` is a boolean or
 * has no exit. Other values stay unchanged, so the model rejects them like those of any test.
 */
export function currentTransaction(value: unknown): unknown {
  if (!isObject(value)) return value;
  const { request, response } = value;
  return {
    ...value,
    ...(isObject(request) && { request: { ...currentMessage(request), tor: currentTor(request.tor) } }),
    ...(isObject(response) && { response: currentMessage(response) }),
  };
}

function currentMessage(message: Record<string, unknown>): Record<string, unknown> {
  if (!Array.isArray(message.headers)) return message;
  const { headers, ...rest } = message;
  return { ...rest, headers_list: (headers as unknown[]).flatMap(pairsOf) };
}

/** Returns a pair for each value of a header. Some old reports have lost a header: its list is empty. */
function pairsOf(header: unknown): unknown[] {
  if (!Array.isArray(header) || header.length !== 2 || !Array.isArray(header[1])) {
    return Array.isArray(header) && header.length === 0 ? [] : [header];
  }
  const [name, values] = header as [unknown, unknown[]];
  return values.map(value => [name, value]);
}

function currentTor(tor: unknown): unknown {
  const none = { exit_ip: null, exit_name: null };
  if (typeof tor === 'boolean') return { ...none, is_tor: tor };
  return isObject(tor) ? { is_tor: false, ...none, ...tor } : tor;
}
