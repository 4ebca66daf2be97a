import type { TestKeys } from '../measurement/model.ts';
import { OBS_PERFORMANCE } from '../tables/schema.ts';
import { type MeasurementRows, rowsOf } from './measurement-rows.ts';

/** Rows of the tests that measure the speed of a probe's network: one row for each measurement (observations.md section 12). */

const writeRow = rowsOf(OBS_PERFORMANCE);

/** Newer probes write zero for a value that they did not measure. No speed and no time is exactly zero. */
const measured = (value: number | null | undefined) => value || null;

/** Writes the row of ndt (ts-022). */
export function writeNdt(rows: MeasurementRows, keys: TestKeys<'ndt'>): void {
  const { failure, protocol, server, server_address } = keys;
  const found = keys.summary ?? keys.simple;
  const download = measured(found?.download);
  writeRow(rows, 1, {
    performance_failure: failureOf(failure),
    server_hostname: server?.hostname || server_address || null,
    server_site: server?.site || null,
    ndt_protocol: protocol ?? (keys.simple ? 5 : null),
    ndt_download: download,
    ndt_upload: measured(found?.upload),
    ndt_min_rtt: measured(found?.min_rtt ?? found?.ping),
    ndt_avg_rtt: measured(found?.avg_rtt),
    ndt_max_rtt: measured(found?.max_rtt),
    ndt_mss: measured(found?.mss),
    // It is measured during the download, and may be zero.
    ndt_retransmit_rate: download === null ? null : found?.retransmit_rate,
  });
}

/** Writes the row of dash (ts-021). */
export function writeDash(rows: MeasurementRows, { failure, server, simple }: TestKeys<'dash'>): void {
  const bitrate = measured(simple?.median_bitrate);
  writeRow(rows, 1, {
    performance_failure: failureOf(failure),
    server_hostname: server?.hostname || null,
    server_site: server?.site || null,
    dash_median_bitrate: bitrate,
    dash_connect_latency: measured(simple?.connect_latency),
    // Zero means that playing could start at once.
    dash_min_playout_delay: bitrate === null ? null : simple?.min_playout_delay,
  });
}

/** Returns the failure as text. Earlier tests write false for none. */
function failureOf(failure: string | boolean | null | undefined): string | null {
  if (failure === true) return 'unknown_failure';
  return failure || null;
}
