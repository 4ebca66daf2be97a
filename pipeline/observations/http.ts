import { transformError } from '../measurement/errors.ts';
import type { HeadersList, HttpRequest, HttpResponse, HttpTransaction, TextOrBinary } from '../measurement/model.ts';
import { readDigest } from '../measurement/reduction.ts';
import { type BodyDigest, digestOf, type ResponseSearch } from '../measurement/response-search.ts';
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
  readonly tags: readonly unknown[] | null | undefined;
  response_title: string | null;
  /** Indexes of the patterns that match the response, in ascending order. */
  patterns: readonly number[];
  taken: boolean;
}

/**
 * Makes the observations of the transactions that have a request, in order. `search` searches responses for fingerprints. Throws
 * MeasurementError.
 */
export function observeHttp(
  transactions: readonly HttpTransaction[] | null | undefined,
  search?: ResponseSearch,
): HttpObservation[] {
  const observations: HttpObservation[] = [];
  if (!transactions) return observations;
  for (let i = 0; i < transactions.length; i++) {
    const transaction = transactions[i]!;
    if (!transaction.request) continue;
    const observation = observeRequest(transaction, transaction.request);
    if (transaction.response) addResponse(observation, transaction.response, transactions[i + 1], search);
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
    tags: transaction.tags,
    response_title: null,
    patterns: NO_PATTERNS,
    taken: false,
  };
}

/** `next` is the following transaction in the list, which precedes this one in time. */
function addResponse(
  observation: HttpObservation,
  response: HttpResponse,
  next: HttpTransaction | undefined,
  search: ResponseSearch | undefined,
): void {
  const patterns = new Set<number>();
  const headers = readHeaders(response, search && { search, patterns });
  observation.response_body_is_truncated = response.body_is_truncated;
  observation.response_status_code = response.code;
  observation.response_header_location = headers.location;
  observation.response_header_server = headers.server;
  const body = response.body ? digestOfBody(response.body, search) : undefined;
  if (body && body.length > 0) {
    observation.response_title = body.title;
    for (const each of body.patterns) patterns.add(each);
    observation.response_body_length = body.length;
    observation.response_body_sha1 = body.sha1;
  }
  if (patterns.size > 0) observation.patterns = [...patterns].sort((a, b) => a - b);
  if (next?.response && readHeaders(next.response).location === observation.request_url) {
    observation.request_redirect_from = next.request?.url ?? null;
  }
}

function bodyLength(body: TextOrBinary): number {
  if (typeof body !== 'string') return decodeBase64(body.data).length;
  return readDigest(body)?.length ?? Buffer.byteLength(body);
}

function digestOfBody(body: TextOrBinary, search: ResponseSearch | undefined): BodyDigest {
  const known = typeof body === 'string' ? readDigest(body) : undefined;
  if (known) return known;
  const bytes = typeof body === 'string' ? Buffer.from(body) : decodeBase64(body.data);
  return search ? search.digestOf(bytes) : digestOf(bytes);
}

interface Headers {
  location: string | null;
  server: string | null;
}

/**
 * Reads the two stored headers from the list, otherwise from the map. It reads every pair: upstream decodes all of them, so an
 * invalid pair makes the measurement fail.
 */
function readHeaders(message: HttpRequest | HttpResponse, search?: HeaderSearch): Headers {
  const found: Headers = { location: null, server: null };
  const list: HeadersList | undefined = message.headers_list?.length ? message.headers_list : undefined;
  if (!list) {
    for (const name in message.headers) {
      takeHeader(found, name, message.headers[name]!);
      if (search) searchHeader(search, name, message.headers[name]!);
    }
    return found;
  }
  for (const pair of list) {
    const name = pair[0];
    const value = pair[1];
    if (name == null || value == null || pair.length > 2) {
      throw transformError('InvalidHeaders', 'a header is not a pair of name and value');
    }
    const asText = textOf(name);
    takeHeader(found, asText, value);
    if (search) searchHeader(search, asText, value);
  }
  return found;
}

const NO_PATTERNS: readonly number[] = [];

/** Adds the patterns that match a header. */
interface HeaderSearch {
  readonly search: ResponseSearch;
  readonly patterns: Set<number>;
}

function searchHeader({ search, patterns }: HeaderSearch, name: string, value: TextOrBinary): void {
  const key = search.searchedName(name);
  if (key === undefined) return;
  for (const each of search.inHeader(key, typeof value === 'string' ? value : decodeBase64(value.data))) {
    patterns.add(each);
  }
}

function takeHeader(found: Headers, name: string, value: TextOrBinary): void {
  const size = name.length;
  if (size === 8 && found.location === null && name.toLowerCase() === 'location') found.location = textOf(value);
  else if (size === 6 && found.server === null && name.toLowerCase() === 'server') found.server = textOf(value);
  else if (typeof value !== 'string') decodeBase64(value.data);
}
