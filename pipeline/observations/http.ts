import { hash } from 'node:crypto';
import { transformError } from '../measurement/errors.ts';
import type { HeadersList, HttpRequest, HttpResponse, HttpTransaction, TextOrBinary } from '../measurement/model.ts';
import { type BodyDigest, readDigest } from '../measurement/reduction.ts';
import { splitEndpoint, urlHost } from './addresses.ts';
import { normaliseFailure } from './failures.ts';
import { hostForm } from './host-form.ts';
import { decodeBase64, textOf } from './text.ts';

/** One request with its response (observations.md section 6.5). Field names are column names without `http_`. */
export interface HttpObservation {
  readonly request_url: string;
  readonly hostname: string;
  readonly ip: string | null;
  readonly port: number | null;
  readonly network: string;
  readonly alpn: string | null | undefined;
  readonly failure: string | null;
  readonly request_body_length: number;
  readonly request_method: string;
  readonly runtime: number | null;
  response_body_length: number | null;
  response_body_is_truncated: boolean | null | undefined;
  response_body_sha1: string | null;
  response_status_code: number | null | undefined;
  response_header_location: string | null;
  response_header_server: string | null;
  request_redirect_from: string | null;
  readonly request_body_is_truncated: boolean | null | undefined;
  readonly t: number | null | undefined;
  readonly transaction_id: number | null | undefined;
  taken: boolean;
}

/** Makes the observations of the transactions that have a request, in order. Throws MeasurementError. */
export function observeHttp(transactions: readonly HttpTransaction[] | null | undefined): HttpObservation[] {
  const observations: HttpObservation[] = [];
  if (!transactions) return observations;
  for (let i = 0; i < transactions.length; i++) {
    const transaction = transactions[i]!;
    if (!transaction.request) continue;
    const observation = observeRequest(transaction, transaction.request);
    if (transaction.response) addResponse(observation, transaction.response, transactions[i + 1]);
    observations.push(observation);
  }
  return observations;
}

function observeRequest(transaction: HttpTransaction, request: HttpRequest): HttpObservation {
  readHeaders(request);
  const network = transaction.network || request.x_transport || 'tcp';
  const endpoint = transaction.address ? splitEndpoint(transaction.address) : undefined;
  const { t, t0 } = transaction;
  return {
    request_url: request.url,
    hostname: hostForm(urlHost(request.url)),
    ip: endpoint?.host ?? null,
    port: endpoint?.port ?? null,
    network: network === 'quic' ? 'udp' : network,
    alpn: transaction.alpn,
    failure: normaliseFailure(transaction.failure),
    request_body_length: request.body ? bodyLength(request.body) : 0,
    request_method: request.method || '',
    runtime: t != null && t0 != null ? t - t0 : null,
    response_body_length: null,
    response_body_is_truncated: null,
    response_body_sha1: null,
    response_status_code: null,
    response_header_location: null,
    response_header_server: null,
    request_redirect_from: null,
    request_body_is_truncated: request.body_is_truncated,
    t,
    transaction_id: transaction.transaction_id,
    taken: false,
  };
}

/** `next` is the following transaction in the list, which precedes this one in time. */
function addResponse(observation: HttpObservation, response: HttpResponse, next: HttpTransaction | undefined): void {
  const headers = readHeaders(response);
  observation.response_body_is_truncated = response.body_is_truncated;
  observation.response_status_code = response.code;
  observation.response_header_location = headers.location;
  observation.response_header_server = headers.server;
  const body = response.body ? digestOf(response.body) : undefined;
  if (body && body.length > 0) {
    observation.response_body_length = body.length;
    observation.response_body_sha1 = body.sha1;
  }
  if (next?.response && readHeaders(next.response).location === observation.request_url) {
    observation.request_redirect_from = next.request?.url ?? null;
  }
}

function bodyLength(body: TextOrBinary): number {
  if (typeof body !== 'string') return decodeBase64(body.data).length;
  return readDigest(body)?.length ?? Buffer.byteLength(body);
}

function digestOf(body: TextOrBinary): BodyDigest {
  if (typeof body === 'string')
    return readDigest(body) ?? { length: Buffer.byteLength(body), sha1: hash('sha1', body) };
  const bytes = decodeBase64(body.data);
  return { length: bytes.length, sha1: hash('sha1', bytes) };
}

interface Headers {
  location: string | null;
  server: string | null;
}

/**
 * Reads the two stored headers from the list, otherwise from the map. It reads every pair: upstream decodes all of them, so an
 * invalid pair makes the measurement fail.
 */
function readHeaders(message: HttpRequest | HttpResponse): Headers {
  const found: Headers = { location: null, server: null };
  const list: HeadersList | undefined = message.headers_list?.length ? message.headers_list : undefined;
  if (!list) {
    for (const name in message.headers) takeHeader(found, name, message.headers[name]!);
    return found;
  }
  for (const [name, value, ...more] of list) {
    if (name == null || value == null || more.length > 0) {
      throw transformError('InvalidHeaders', 'a header is not a pair of name and value');
    }
    takeHeader(found, textOf(name), value);
  }
  return found;
}

function takeHeader(found: Headers, name: string, value: TextOrBinary): void {
  const size = name.length;
  if (size === 8 && found.location === null && name.toLowerCase() === 'location') found.location = textOf(value);
  else if (size === 6 && found.server === null && name.toLowerCase() === 'server') found.server = textOf(value);
  else if (typeof value !== 'string') decodeBase64(value.data);
}
