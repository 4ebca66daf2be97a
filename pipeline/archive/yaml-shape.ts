/** A measurement under construction. */
export type Entry = Record<string, unknown>;

/** The report is of a test that the pipeline skips by rule. */
export class UnsupportedReportError extends Error {
  override name = 'UnsupportedReportError';
}

/** The entry has a shape that the rules do not cover. */
export class ReportShapeError extends Error {
  override name = 'ReportShapeError';
}

/** Returns whether a value is a mapping. */
export function isEntry(value: unknown): value is Entry {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
