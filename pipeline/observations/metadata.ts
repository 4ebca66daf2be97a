import { transformError } from '../measurement/errors.ts';
import type { Measurement } from '../measurement/model.ts';
import { parseStartTime } from '../measurement/time.ts';
import type { IpView } from '../reference/ip-metadata.ts';

const SCRUBBED = '[scrubbed]';

/**
 * ClickHouse's `toDate` supports 1970 to 2149, and `DateTime` supports 1970 to 2106. The analysis would never process a measurement
 * of another day.
 */
const EARLIEST = Date.UTC(1970, 0, 1);
const TOO_LATE = Date.UTC(2100, 0, 1);

/** Returns the start of a measurement in milliseconds since 1970. Throws MeasurementError InvalidTime. */
export function startOf(measurement: Measurement): number {
  const start = parseStartTime(measurement.measurement_start_time);
  if (start !== undefined && start >= EARLIEST && start < TOO_LATE) return start;
  if (start !== undefined) {
    const message = `measurement_start_time must lie in the years 1970 to 2099, is "${measurement.measurement_start_time.slice(0, 40)}"`;
    throw transformError('InvalidTime', message);
  }
  const shown = measurement.measurement_start_time.slice(0, 40);
  throw transformError('InvalidTime', `measurement_start_time must be YYYY-MM-DD HH:MM:SS, is "${shown}"`);
}

/** Returns the values of the measurement block. */
export function measurementColumns(measurement: Measurement, uid: string, bucket: string, start: number) {
  const { input } = measurement;
  return {
    measurement_uid: uid,
    input: Array.isArray(input) ? input.join(':') : input,
    report_id: measurement.report_id,
    ooni_run_link_id: annotation(measurement, 'ooni_run_link_id', ''),
    measurement_start_time: start,
    software_name: measurement.software_name,
    software_version: measurement.software_version,
    test_name: measurement.test_name,
    test_version: measurement.test_version,
    bucket_date: bucket,
  };
}

/**
 * Returns the values of the probe block. Throws MeasurementError InvalidASN.
 *
 * @param clientResolver `test_keys.client_resolver`
 */
export function probeColumns(
  measurement: Measurement,
  clientResolver: string | null | undefined,
  start: number,
  ips: IpView,
) {
  const asn = asNumber(measurement.probe_asn, 'probe_asn');
  const as = ips.as(asn, start);
  return {
    // First, because V8 copies an object into the beginning of a new one faster than into its middle.
    ...resolverColumns(measurement, clientResolver, ips),
    probe_asn: asn,
    probe_cc: measurement.probe_cc,
    probe_as_org_name: as.org_name,
    probe_as_cc: as.cc,
    probe_as_name: as.name,
    network_type: annotation(measurement, 'network_type'),
    platform: annotation(measurement, 'platform'),
    origin: annotation(measurement, 'origin'),
    engine_name: annotation(measurement, 'engine_name'),
    engine_version: annotation(measurement, 'engine_version'),
    architecture: annotation(measurement, 'architecture'),
    probe_id: measurement.probe_id || '',
  };
}

function resolverColumns(measurement: Measurement, clientResolver: string | null | undefined, ips: IpView) {
  const asnOfProbe = measurement.resolver_asn ? asNumber(measurement.resolver_asn, 'resolver_asn') : 0;
  const orgOfProbe = measurement.resolver_network_name || '';
  const address = measurement.resolver_ip || clientResolver || '';
  const isScrubbed = address === SCRUBBED;
  const info = isScrubbed || address === '' ? undefined : ips.ip(address);
  return {
    resolver_is_scrubbed: measurement.resolver_ip === SCRUBBED || clientResolver === SCRUBBED,
    resolver_asn_probe: asnOfProbe,
    resolver_as_org_name_probe: orgOfProbe,
    resolver_ip: info ? address : '',
    // If the address was removed, the facts that the probe looked up before are present.
    resolver_asn: info?.asn ?? (isScrubbed ? asnOfProbe : 0),
    resolver_cc: info?.cc ?? '',
    resolver_as_org_name: info?.as_org_name ?? (isScrubbed ? orgOfProbe : ''),
    resolver_as_cc: info?.as_cc ?? '',
  };
}

function annotation({ annotations }: Measurement, key: string, otherwise = 'unknown'): string {
  return annotations && Object.hasOwn(annotations, key) ? annotations[key]! : otherwise;
}

/** Parses an AS number, with or without `AS` before it. Throws MeasurementError InvalidASN. */
function asNumber(text: string, field: string): number {
  const digits = /^\s*(?:AS)?\s*(\d+)(?:\.0+)?\s*$/i.exec(text)?.[1];
  if (digits === undefined) {
    throw transformError('InvalidASN', `${field} must be a number or AS and a number, is "${text.slice(0, 40)}"`);
  }
  return Number(digits);
}
