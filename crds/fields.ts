import { z } from 'zod';
import { rules } from './rules.ts';

/** Fields that several kinds share: buckets, filters, stages, durations, instants, links. */

const DAYS_IN_MONTH =
  'self.substring(5, 7) in ["04", "06", "09", "11"] ? 30 : self.substring(5, 7) != "02" ? 31 : ' +
  'int(self.substring(0, 4)) % 4 == 0 && (int(self.substring(0, 4)) % 100 != 0 || int(self.substring(0, 4)) % 400 == 0) ? 29 : 28';
/** Pattern of a bucket, day or hour, for CEL and TypeScript. */
export const BUCKET = '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]))?$';
const BUCKET_SHAPE = new RegExp(BUCKET);

/**
 * An upload day `YYYY-MM-DD` or an upload hour `YYYY-MM-DDTHH` in UTC, which must exist in the calendar and not be before the archive
 * begins.
 */
export const bucket = () =>
  rules(
    z.string().min(1).max(20),
    {
      cel: `self.matches('${BUCKET}')`,
      quote: true,
      message: 'must be an upload day as YYYY-MM-DD or, with granularity Hour, an upload hour as YYYY-MM-DDTHH (UTC)',
      check: value => BUCKET_SHAPE.test(value),
    },
    {
      cel: `!self.matches('${BUCKET}') || int(self.substring(8, 10)) <= (${DAYS_IN_MONTH})`,
      quote: true,
      message: 'is not a day of the calendar: that month has fewer days',
      check: value =>
        !BUCKET_SHAPE.test(value) ||
        new Date(`${value.slice(0, 10)}T00:00:00Z`).getUTCDate() === Number(value.slice(8, 10)),
    },
    {
      cel: `!self.matches('${BUCKET}') || (self >= '2012' && self < '3000')`,
      quote: true,
      message: "lies before 2012, when OONI's archive begins, or beyond 2999",
      check: value => !BUCKET_SHAPE.test(value) || (value >= '2012' && value < '3000'),
    },
  );

export const granularity = () => z.enum(['Day', 'Hour']);

export const stages = () =>
  rules(
    z
      .array(z.enum(['Observations', 'Analysis']))
      .min(1)
      .max(2),
    {
      cel: 'self.all(one, self.exists_one(other, one == other))',
      message: 'must name each stage once',
      check: value => new Set(value).size === value.length,
    },
  ).meta({
    description:
      'Stages of each run, in this order: Observations (archive to observation rows) and Analysis (observation rows to verdicts). Default: both.',
    'x-kubernetes-list-type': 'atomic',
  });

const country = rules(z.string().min(1).max(32), {
  cel: "self.matches('^[A-Za-z]{2}$')",
  quote: true,
  message: 'must be a two-letter country code, such as IT',
  check: value => /^[A-Za-z]{2}$/.test(value),
});
const testName = rules(z.string().min(1).max(100), {
  cel: "self.matches('^[A-Za-z0-9_]+$')",
  quote: true,
  message: 'must be a test name of letters, digits and underscores, such as web_connectivity',
  check: value => /^[A-Za-z0-9_]+$/.test(value),
});

export const probeCC = () =>
  z.array(country).max(250).meta({
    description:
      'Countries of the probes as two-letter codes in quotes, for example "NO": YAML reads NO without quotes as false. An empty list selects all countries.',
    'x-kubernetes-list-type': 'atomic',
  });

export const testNames = () =>
  z.array(testName).max(100).meta({
    description:
      'Names of the tests, with or without underscores (web_connectivity, webconnectivity). An empty list selects all tests.',
    'x-kubernetes-list-type': 'atomic',
  });

const DURATION = '^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$';
const UNIT = { h: 3600, m: 60, s: 1 } as const;

/** Returns the seconds of a duration such as `1h30m`; undefined when the text is not a duration. */
export function durationSeconds(text: string): number | undefined {
  if (text === '' || !new RegExp(DURATION).test(text)) return undefined;
  return [...text.matchAll(/(\d+)([hms])/g)].reduce((sum, [, n, unit]) => sum + Number(n) * UNIT[unit as 'h'], 0);
}

/** A duration such as `90s`, `10m`, `1h30m`, between two bounds in the same form. */
export const duration = (least: string, most: string) =>
  rules(
    z.string().max(24),
    {
      cel: `self != '' && self.matches('${DURATION}')`,
      quote: true,
      message: 'must be a duration such as 90s, 10m or 1h30m',
      check: value => durationSeconds(value) !== undefined,
    },
    {
      cel: `self == '' || !self.matches('${DURATION}') || (duration(self) >= duration('${least}') && duration(self) <= duration('${most}'))`,
      quote: true,
      message: `must be between ${least} and ${most}`,
      check: value => {
        const seconds = durationSeconds(value);
        return seconds === undefined || (seconds >= durationSeconds(least)! && seconds <= durationSeconds(most)!);
      },
    },
  );

/** An RFC 3339 instant in a status. */
export const instant = (description: string) => z.string().meta({ format: 'date-time', description });

export const count = (description: string) => z.int().min(0).meta({ description });

export const blockedBy = (cause: string, bucket: string) =>
  z
    .object({
      bucket: z.string().meta({ description: bucket }).optional(),
      reason: z.string().meta({
        description:
          'Class of the error; NoWorker: no worker has taken the task; ArchiveSlow: the archive answers slowly; WorkflowTaskFailed: the code of the workflow fails.',
      }),
      message: z.string().meta({ description: 'The error, or what the run waits for.' }),
      link: z.string().meta({ description: 'The run in the Temporal UI.' }).optional(),
    })
    .meta({ description: cause });

export const links = () =>
  z.record(z.string(), z.string()).meta({ description: 'Related addresses: a URL for each name.' });
