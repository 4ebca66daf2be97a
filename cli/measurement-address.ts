/** A measurement as a user names it: by uid, or by report and input as in old OONI Explorer addresses. */
export type MeasurementAddress = { readonly uid: string } | { readonly reportID: string; readonly input?: string };

/** `20230530T181234Z_signal_US_701_n1_abc`, and the older `20160801T000000Z_AS701_abc`. */
const REPORT_ID = /^\d{8}T\d{6}Z_/;

/**
 * Parses a measurement_uid, or an address of OONI Explorer or OONI's API: `https://explorer.ooni.org/m/UID`, the older
 * `/measurement/REPORT?input=URL`, `https://api.ooni.io/api/v1/measurement/UID`. Returns undefined for any other address.
 */
export function parseMeasurement(text: string): MeasurementAddress | undefined {
  const written = text.trim();
  if (!/^https?:\/\/|^explorer\.ooni\./i.test(written))
    return /[\s/]/.test(written) || written === '' ? undefined : { uid: written };
  const address = /^https?:/i.test(written) ? written : `https://${written}`;
  if (!URL.canParse(address)) return undefined;
  const url = new URL(address);
  if (!/(^|\.)ooni\.(org|io|nu)$|(^|\.)ooni\.torproject\.org$/.test(url.hostname)) return undefined;
  const uid = url.searchParams.get('measurement_uid');
  if (uid) return { uid };
  const id = /\/(?:m|measurement)\/([^/]+)\/?$/.exec(url.pathname)?.[1];
  if (id === undefined) return undefined;
  const decoded = decode(id);
  if (decoded === undefined) return undefined;
  if (!REPORT_ID.test(decoded)) return { uid: decoded };
  const input = url.searchParams.get('input');
  return { reportID: decoded, ...(input !== null && { input }) };
}

function decode(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
