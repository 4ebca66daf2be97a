import { Cron } from 'croner';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { parseCron } from '../../crds/cron.ts';
import { PIPELINE_SCHEDULE } from '../../crds/pipeline-schedule.ts';
import { parseSpec, SpecError } from '../../crds/resource.ts';
import { timeZoneProblem } from '../../crds/time-zones.ts';
import { Temporal } from '../../operator/temporal/connection.ts';
import { TemporalRejected } from '../../operator/temporal/errors.ts';
import { createSchedule, describeSchedule, type ScheduleRequest } from '../../operator/temporal/schedules.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { makeTemporalNamespace } from '../support/operator.ts';

/** Compares our check of cron lines and time zones with Temporal's server, which must accept the same ones and fire at these times. */
const address = inject('temporalAddress');
const namespace = 'schedule-lines';
const settings = loadSettings({ TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace });
const temporal = new Temporal(settings, { attributes: [], log: createLogger('test', settings) });

beforeAll(() => makeTemporalNamespace(address, namespace));
afterAll(() => temporal.close());

let serial = 0;

/** Returns the next firings (milliseconds since 1970) of the lines in the zone, or that Temporal rejects them. */
async function fire(cron: readonly string[], timeZone: string): Promise<readonly number[] | 'rejected'> {
  const id = `line-${serial++}`;
  const request: ScheduleRequest = {
    id,
    installation: 'test',
    launchID: id,
    hash: '',
    ownerUID: '',
    cron,
    timeZone,
    overlap: 'Allow',
    catchUpWindow: 3600,
    workflowType: 'None',
    summary: '',
    input: {},
    attributes: {},
  };
  try {
    await createSchedule(temporal, request, { paused: true, note: '' });
    return (await describeSchedule(temporal, id))?.nextFirings ?? [];
  } catch (error) {
    if (error instanceof TemporalRejected) return 'rejected';
    throw error;
  }
}

const accepted = (schedule: string, timeZone = 'Etc/UTC') => {
  try {
    return parseSpec(PIPELINE_SCHEDULE, { spec: { schedule, timeZone } });
  } catch (error) {
    if (error instanceof SpecError) return undefined;
    throw error;
  }
};

/** Runs `work` for all items, a few at a time. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
    }),
  );
}

test('Temporal knows the time zones that we accept', async () => {
  // A tenth of the zones, because each schedule takes the server a while; the spelling rule is the same for all.
  const zones = Intl.supportedValuesOf('timeZone').filter((_, index) => index % 10 === 0);
  const links = [
    'UTC',
    'Etc/UTC',
    'Etc/GMT-14',
    'US/Pacific',
    'EST5EDT',
    'Asia/Kolkata',
    'Europe/Kyiv',
    'Zulu',
    'GMT+0',
    'GB-Eire',
  ];
  const rejected: string[] = [];
  await each([...zones, ...links], async zone => {
    expect(timeZoneProblem(zone)).toBeUndefined();
    if ((await fire(['0 2 * * *'], zone)) === 'rejected') rejected.push(zone);
  });
  expect(rejected).toEqual([]);
});

test.each(['+02:00', 'europe/rome', 'Europe/Kyivv', 'SystemV/AST4', 'PST', ' Europe/Rome', '../UTC', 'GMT+2'])(
  'we reject the zone %j, as Temporal does',
  async zone => {
    expect(await fire(['0 2 * * *'], zone)).toBe('rejected');
    expect(accepted('0 2 * * *', zone)).toBeUndefined();
  },
);

// Temporal accepts some of these with a meaning that a reader of crontab(5) does not expect, or never fires them.
test.each([
  '0 2 * * FRI-MON',
  '0 24 * * *',
  '*/0 2 * * *',
  '1, 2 * * *',
  '0 2 L * *',
  '0 0 30 2 *',
  '0 0 31 4 *',
  '99999999999999999999 2 * * *',
])('we reject the line %j, which Temporal rejects or never fires', async line => {
  const firings = await fire([line], 'Etc/UTC');
  expect(firings === 'rejected' || firings.length === 0).toBe(true);
  expect(accepted(line)).toBeUndefined();
});

test.each([
  '0 2 13 * 5',
  '0 2 * * 7',
  '0 2 * * 1-7',
  '0 2 * * 5-7',
  '0 2 * * 3-7/2',
  '0 2 * * */7',
  '0 2 * * 1-7,2-6',
  '0 2 2 * 6-7',
  '0 2 1-7 jan,DEC mon-wed',
  '0 0 29 2 *',
  '5-59/10 */6 */9 * *',
  '\t0 2\n* * * ',
])('the line %j fires as in crontab(5)', async line => {
  expect(accepted(line)).toBeDefined();
  await expectFirings(line);
});

/** Returns the next firings by another implementation of crontab(5). */
function firingsOf(line: string): number[] {
  const [, , day, , weekday] = line.trim().split(/\s+/) as [string, string, string, string, string];
  const legacyMode = !day.includes('*') && !weekday.includes('*');
  return new Cron(line, { mode: '5-part', paused: true, timezone: 'Etc/UTC', legacyMode })
    .nextRuns(10)
    .map(date => date.getTime());
}

/**
 * Fails unless Temporal fires the line as the other implementation does. A firing may fall between the two answers, so either side of it is
 * right.
 */
async function expectFirings(line: string): Promise<void> {
  const before = firingsOf(line);
  const firings = await fire(parseCron(line).lines, 'Etc/UTC');
  const after = firingsOf(line);
  expect({ line, firings }).toEqual({ line, firings: String(firings) === String(before) ? before : after });
}

const value = (least: number, most: number, names: readonly string[] = []) =>
  fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: least, max: most }).map(String) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 70 }).map(String) },
    ...(names.length > 0 ? [{ weight: 3, arbitrary: fc.constantFrom(...names) }] : []),
  );
const field = (least: number, most: number, names?: readonly string[]) => {
  const step = fc.option(fc.integer({ min: 0, max: most + 2 }), { nil: undefined, freq: 2 });
  const one = value(least, most, names);
  const stepped = (text: string, by: number | undefined) => (by === undefined ? text : `${text}/${by}`);
  const part = fc.oneof(
    { weight: 4, arbitrary: fc.constant('*') },
    { weight: 2, arbitrary: step.map(by => stepped('*', by)) },
    { weight: 4, arbitrary: one },
    { weight: 3, arbitrary: fc.tuple(one, one, step).map(([from, to, by]) => stepped(`${from}-${to}`, by)) },
  );
  return fc.array(part, { minLength: 1, maxLength: 2 }).map(parts => parts.join(','));
};
const MONTHS = ['JAN', 'feb', 'Mar', 'JUL', 'dec'];
const DAYS = ['SUN', 'mon', 'Tue', 'FRI', 'sat'];
const lines = fc
  .tuple(field(0, 59), field(0, 23), field(1, 31), field(1, 12, MONTHS), field(0, 7, DAYS))
  .map(fields => fields.join(' '));

test('Temporal accepts the lines that we accept, and fires them as in crontab(5)', async () => {
  const random = fc
    .sample(lines, 2000)
    // The other implementation reads SUN at the end of a range as 7; crontab(5) and Temporal read it as 0.
    .filter(line => accepted(line) !== undefined && !/-sun/i.test(line))
    .slice(0, 60);
  expect(random).toHaveLength(60);
  await each(random, async line => expectFirings(line));
});
