import { addressForm, canonicalAddress, isIpLiteral } from '../reference/ip-literal.ts';
import { TranslationPrefixes } from '../reference/nat64.ts';
import { compileColumns, RowBinaryWriter, sliceColumns } from '../tables/rowbinary.ts';
import { GENERATION_COLUMN, OBS_WEB } from '../tables/schema.ts';
import { fixAddress } from './addresses.ts';
import { type Connection, Connections } from './connections.ts';
import type { DnsObservation } from './dns.ts';
import { hostForm } from './host-form.ts';
import type { HttpObservation } from './http.ts';
import type { MeasurementRows } from './measurement-rows.ts';
import type { TcpObservation } from './tcp.ts';
import type { TlsObservation } from './tls.ts';
import { NO_TRANSFER, readTags, type Transfers } from './transaction.ts';

/** The observations of a measurement, or of a part of one, in the order of the document. */
export interface WebObservations {
  readonly dns?: readonly DnsObservation[];
  readonly tcp?: readonly TcpObservation[];
  readonly tls?: readonly TlsObservation[];
  readonly http?: readonly HttpObservation[];
  /** Counts of bytes by connection. */
  readonly transfers?: Transfers;
}

/** Values of rows that come from the test instead of an observation. */
export interface WebRowOptions {
  /** Returns the target id for the host name and address of a row. */
  readonly targetOf?: (hostname: string | null, ip: string | null) => string | null;
  readonly probeAnalysis?: string | null;
  /** The probe's comparison of the final response with that of the control. */
  readonly comparison?: Comparison;
  /** Returns host names by address, for rows without one. It is called once at most. */
  readonly hints?: () => ReadonlyMap<string, string>;
  /** Addresses that the control resolved. */
  readonly controlAddresses?: readonly string[];
}

/** Field names are column names without `probe_`; absent and null: the probe did not compare. */
export interface Comparison {
  readonly status_code_match?: boolean | null | undefined;
  readonly headers_match?: boolean | null | undefined;
  readonly title_match?: boolean | null | undefined;
  readonly body_length_match?: boolean | null | undefined;
  readonly body_proportion?: number | null | undefined;
}

const groups = sliceColumns(OBS_WEB, [
  'measurement_uid',
  'observation_idx',
  'ip_asn',
  'dns_query_type',
  'tcp_failure',
  'tls_failure',
  'tls_end_entity_certificate_fingerprint',
  'tls_certificate_chain_length',
  'tls_handshake_read_count',
  'tls_t',
  'http_request_url',
  'probe_analysis',
  GENERATION_COLUMN[0],
  'http_response_title',
  'probe_status_code_match',
  'tls_network',
  'dns_transaction_id',
]);

/** One writer for each group of columns that come from the same object. A row is written group by group and never assembled as an object. */
const write = {
  row: compileColumns(groups[1]),
  ip: compileColumns(groups[2], 'ip_'),
  dns: compileColumns(groups[3], 'dns_'),
  tcp: compileColumns(groups[4], 'tcp_'),
  tls: compileColumns(groups[5], 'tls_'),
  certificate: compileColumns(groups[6], 'tls_end_entity_certificate_'),
  chain: compileColumns(groups[7], 'tls_'),
  handshake: compileColumns(groups[8], 'tls_'),
  tlsTime: compileColumns(groups[9], 'tls_'),
  http: compileColumns(groups[10], 'http_'),
  analysis: compileColumns(groups[11]),
  page: compileColumns(groups[13], 'http_'),
  comparison: compileColumns(groups[14], 'probe_'),
  network: compileColumns(groups[15], 'tls_'),
  transaction: compileColumns(groups[16]),
};

/**
 * Joins observations to rows of `obs_web` and writes them: each DNS observation with the connection to its answer, then the other
 * connections. Every observation is in exactly one row. Differs from observations.md section 7 (docs/deviations.md, connections).
 */
export function writeWebRows(rows: MeasurementRows, observations: WebObservations, options: WebRowOptions = {}): void {
  const { dns = [], tcp = [], tls = [], http = [] } = observations;
  const connections = new Connections(tcp, tls, http);
  const context = {
    rows,
    options,
    hosts: new Hosts(dns, options.hints),
    translation: translationOf(rows, dns, options.controlAddresses),
    transfers: observations.transfers,
    ...encodeShared(rows, options),
  };
  for (const each of dns) writeRow(context, each, connections.takeFor(each) ?? NO_CONNECTION);
  for (const connection of connections.all) {
    if (!connection.taken) writeRow(context, null, connection);
  }
}

/** Inputs that all rows of one measurement share. */
interface RowContext {
  readonly rows: MeasurementRows;
  readonly options: WebRowOptions;
  readonly hosts: Hosts;
  readonly translation: TranslationPrefixes;
  readonly transfers: Transfers | undefined;
  /** Encoded `probe_analysis` and generation. */
  readonly analysis: Buffer;
  /** Encoded comparison of the probe. */
  readonly comparison: Buffer;
}

const SCRATCH_BYTES = 4096;
let scratch = new RowBinaryWriter(SCRATCH_BYTES);

/** Encodes the columns after those of the observations that all rows share. The result is valid until the next call. */
function encodeShared(rows: MeasurementRows, { probeAnalysis, comparison }: WebRowOptions) {
  // A hostile text makes it grow. It belongs to the thread and must not stay large.
  if (scratch.bytes.length > 100 * SCRATCH_BYTES) scratch = new RowBinaryWriter(SCRATCH_BYTES);
  scratch.length = 0;
  write.analysis(scratch, { probe_analysis: probeAnalysis });
  scratch.raw(rows.generation);
  const middle = scratch.length;
  write.comparison(scratch, comparison);
  return {
    analysis: scratch.bytes.subarray(0, middle),
    comparison: scratch.bytes.subarray(middle, scratch.length),
  };
}

/** The observations of one connection that are in the same row. */
type Joined = Omit<Connection, 'taken'>;

const NO_CONNECTION: Joined = { tcp: null, tls: null, http: null };

function translationOf(
  { ips }: MeasurementRows,
  answers: readonly DnsObservation[],
  control?: readonly string[],
): TranslationPrefixes {
  const differ = (a: string, b: string) => ips.ip(a).asn !== ips.ip(b).asn;
  return new TranslationPrefixes({ answers, differ, ...(control && { control }) });
}

/** Host names by address, for rows without their own. */
class Hosts {
  readonly #dns: readonly DnsObservation[];
  readonly #readHints: (() => ReadonlyMap<string, string>) | undefined;
  #answered: Map<string, string | null> | undefined;
  #hints: ReadonlyMap<string, string> | undefined;

  constructor(dns: readonly DnsObservation[], hints: (() => ReadonlyMap<string, string>) | undefined) {
    this.#dns = dns;
    this.#readHints = hints;
  }

  /** Returns the host with a look-up that answered this address, otherwise the host from the hints. */
  at(ip: string): string | null {
    if (!this.#answered) {
      this.#answered = new Map();
      for (const { answer, hostname } of this.#dns) {
        if (!answer) continue;
        const address = addressForm(answer);
        const known = this.#answered.get(address);
        // An address of two hosts identifies neither.
        this.#answered.set(address, known === undefined || known === hostname ? hostname : null);
      }
    }
    return this.#answered.get(ip) || (this.#hinted(ip) ?? null);
  }

  #hinted(ip: string): string | undefined {
    this.#hints ??= this.#readHints?.();
    return this.#hints?.get(ip) ?? this.#hints?.get(canonicalAddress(ip) ?? ip);
  }
}

/** The columns that no single observation determines. All rows share one object, because it is read immediately. */
const own = {
  observation_idx: 0,
  created_at: 0 as number | null,
  target_id: null as string | null,
  hostname: null as string | null,
  transaction_id: null as number | null,
  ip: null as string | null,
  port: null as number | null,
};

/** The columns of a response that come from its content. All rows share one object. */
const page = {
  response_title: null as string | null,
  fingerprints: [] as readonly string[],
  fingerprints_version: '',
};
const NO_NAMES: readonly string[] = [];

/** The columns of a transaction. All rows share one object. */
const transaction = {
  dns_transaction_id: null as number | null,
  transaction_depth: null as number | null,
  transaction_fetch_body: null as boolean | null,
  transfer_t: NO_TRANSFER.t,
  transfer_bytes: NO_TRANSFER.bytes,
};

function writeRow(context: RowContext, dns: DnsObservation | null, connection: Joined): void {
  const { rows, options, hosts, translation } = context;
  const { tcp, tls, http } = connection;
  own.observation_idx = ++rows.index;
  own.created_at = rows.run.createdAt;
  own.ip = (dns?.answer && addressOf(dns.answer)) || tcp?.ip || tls?.ip || (http?.ip ?? null);
  own.port = tcp?.port || tls?.port || (http?.port ?? null);
  own.hostname = hostnameOf(dns, connection, own.ip, hosts);
  own.transaction_id = tcp?.transaction_id || tls?.transaction_id || http?.transaction_id || null;
  own.target_id = options.targetOf?.(own.hostname, own.ip) ?? null;

  const writer = rows.encoder.row('obs_web');
  writer.raw(rows.shared);
  write.row(writer, own);
  write.ip(writer, own.ip ? rows.ips.ip(translation.inside(own.ip)) : null);
  write.dns(writer, dns);
  write.tcp(writer, tcp);
  write.tls(writer, tls);
  write.certificate(writer, tls?.certificate);
  write.chain(writer, tls);
  write.handshake(writer, tls?.handshake);
  write.tlsTime(writer, tls);
  write.http(writer, http);
  writer.raw(context.analysis);
  page.response_title = http?.response_title ?? null;
  page.fingerprints = http ? rows.fingerprintNames(http.patterns) : NO_NAMES;
  page.fingerprints_version = rows.fingerprintsVersion;
  write.page(writer, page);
  writer.raw(context.comparison);
  write.network(writer, tls);
  writeTransaction(writer, context.transfers, dns, connection);
}

function writeTransaction(
  writer: RowBinaryWriter,
  transfers: Transfers | undefined,
  dns: DnsObservation | null,
  { tcp, tls, http }: Joined,
): void {
  const id = dns?.transaction_id ?? null;
  // Upstream reads the id and does not store it, so no id makes a measurement fail.
  transaction.dns_transaction_id = id === null || id !== (id | 0) ? null : id;
  const { depth, fetch_body } = readTags((tcp ?? tls ?? http ?? dns)?.tags);
  transaction.transaction_depth = depth;
  transaction.transaction_fetch_body = fetch_body;
  const endpoint = tcp ?? tls ?? http;
  const { t, bytes } = transfers?.take(own.transaction_id, endpoint?.ip ?? null, endpoint?.port ?? null) ?? NO_TRANSFER;
  transaction.transfer_t = t;
  transaction.transfer_bytes = bytes;
  write.transaction(writer, transaction);
}

/** Returns the answer as an address, or null if it is a name. */
function addressOf(answer: string): string | null {
  const fixed = addressForm(fixAddress(answer));
  return isIpLiteral(fixed) ? fixed : null;
}

/**
 * Returns the requested host: from DNS, otherwise the server name of the handshake (its certificate is checked for that name),
 * otherwise from HTTP, otherwise the host of the address.
 */
function hostnameOf(
  dns: DnsObservation | null,
  { tcp, tls, http }: Joined,
  ip: string | null,
  hosts: Hosts,
): string | null {
  if (dns?.hostname) return dns.hostname;
  if (tcp?.hostname) return tcp.hostname;
  if (tls?.server_name && !isIpLiteral(tls.server_name)) return hostForm(tls.server_name);
  if (http?.hostname) return http.hostname;
  // Empty if the document has an empty name, null if it has none.
  const nameless = http?.hostname ?? dns?.hostname ?? null;
  return ip ? (hosts.at(ip) ?? nameless) : nameless;
}

/** Writes the one row of browser_web, with the result of the browser. It has no index and no creation time (section 9). */
export function writeBrowserRow(
  rows: MeasurementRows,
  failure: string | null | undefined,
  runtime: number | null | undefined,
): void {
  const writer = rows.encoder.row('obs_web');
  writer.raw(rows.shared);
  write.row(writer, { observation_idx: 0 });
  for (const group of [write.ip, write.dns, write.tcp, write.tls, write.certificate, write.chain]) group(writer, null);
  write.handshake(writer, null);
  write.tlsTime(writer, null);
  write.http(writer, { failure, runtime });
  write.analysis(writer, null);
  writer.raw(rows.generation);
  write.page(writer, { response_title: null, fingerprints: NO_NAMES, fingerprints_version: rows.fingerprintsVersion });
  write.comparison(writer, null);
  write.network(writer, null);
  write.transaction(writer, null);
}
