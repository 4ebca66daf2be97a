import { describe, expect, test } from 'vitest';
import { cronProblem, parseCron } from './cron.ts';
import { timeZoneProblem } from './time-zones.ts';

describe('a cron line', () => {
  test.each([
    '0 2 * * *',
    ' 0\t2  * * * ',
    '59 23 31 12 7',
    '*/15 0-23/2 1-31/3 */2 *',
    '0 2 * JUL WED',
    '0 2 * jul-aug wed,fri',
    '0 2 * * 5-7',
    '0 2 1-7 * 1',
    '0 0 29 2 *',
    '00 02 * * *',
  ])('%j is accepted', line => {
    expect(cronProblem(line)).toBeUndefined();
  });

  test.each([
    ['', 'must have five fields'],
    ['0 2 * *', 'has 4'],
    ['0 0 2 * * *', 'has 6'],
    ['TZ=Europe/Rome 0 2 * * *', 'write the time zone in timeZone'],
    ['@daily', 'write its five fields, "0 0 * * *"'],
    ['@every 1h', 'must have five fields'],
    ['constructor', 'must have five fields'],
    ['0 2 L * *', 'may contain numbers'],
    ['0 2 * * 5#2', 'may contain numbers'],
    ['0 2 ? * *', 'may contain numbers'],
    ['60 2 * * *', 'minute "60" must hold values from 0 to 59'],
    ['0 24 * * *', 'hour "24" must hold values from 0 to 23'],
    ['0 2 0 * *', 'day of month "0"'],
    ['0 2 * 13 *', 'month "13"'],
    ['0 2 * * 8', 'day of week "8" must hold values from 0 to 7, or the first three letters of a name'],
    ['0 2 * * monday', 'day of week "monday"'],
    ['0 2 * FR *', 'month "FR"'],
    ['MON 2 * * *', 'minute "MON"'],
    ['0 2 * * FRI-MON', 'ends before it begins'],
    ['0 2 * * FRI-SUN', 'ends before it begins'],
    ['30-10 2 * * *', 'ends before it begins'],
    ['*/0 2 * * *', 'must have a step from 1 to 59'],
    ['*/60 2 * * *', 'must have a step from 1 to 59'],
    ['*/x 2 * * *', 'must have a step'],
    ['5/10 2 * * *', 'write 5-59/10'],
    ['*/5/2 2 * * *', 'is not a number, a range or a list'],
    ['1-2-3 2 * * *', 'is not a number, a range or a list'],
    ['1, 2 * * *', 'is not a number, a range or a list'],
    ['- 2 * * *', 'must hold values'],
    ['-5 2 * * *', 'must hold values'],
    ['99999999999999999999 2 * * *', 'must hold values'],
    ['0 0 30 2 *', 'never fires'],
    ['0 0 31 2,4,6,9,11 *', 'never fires'],
    ['0 0 30 2 1', 'never fires on its day of month: no such day exists; write * for it'],
    ['0 0 30 2 */2', 'never fires'],
  ])('%j is rejected', (line, why) => {
    expect(cronProblem(line)).toContain(why);
  });

  test.each([
    ['0 2 * * *', ['0 2 * * *']],
    ['0  2 * *\tSUN', ['0 2 * * SUN']],
    // Temporal does not fire 1-7 on Sundays.
    ['0 2 * * 7', ['0 2 * * 0']],
    ['0 2 * * 1-7', ['0 2 * * *']],
    ['0 2 * * 5-7', ['0 2 * * 0,5,6']],
    ['0 2 13 * 6-7', ['0 2 13 * *', '0 2 * * 0,6']],
    // Space that Temporal's parser does not accept as such.
    ['0 2 \u{feff}* * *', ['0 2 * * *']],
    ['0 2 13 * 5', ['0 2 13 * *', '0 2 * * 5']],
    ['0 2 1-7 JAN MON', ['0 2 1-7 JAN *', '0 2 * JAN MON']],
    // With a field that begins with a star, both fields must match, in crontab(5) as in Temporal.
    ['0 2 */2 * 5', ['0 2 */2 * 5']],
  ])('%j is sent to Temporal as %j', (line, lines) => {
    expect(parseCron(line).lines).toEqual(lines);
  });
});

describe('a time zone', () => {
  test.each([
    'Etc/UTC',
    'UTC',
    'Europe/Rome',
    'America/New_York',
    'US/Pacific',
    'EST5EDT',
    'Asia/Calcutta',
    'Etc/GMT+5',
  ])('%s is accepted', zone => {
    expect(timeZoneProblem(zone)).toBeUndefined();
  });

  test.each([
    ['+02:00', 'Etc/GMT-2, which is this offset'],
    ['-0500', 'Etc/GMT+5, which is this offset'],
    ['UTC+3', 'Etc/GMT-3'],
    ['+05:30', 'is an offset and not a name'],
    ['+15', 'is an offset and not a name'],
    ['europe/rome', 'write "Europe/Rome"'],
    ['utc', 'write "UTC"'],
    [' Europe/Rome', 'write "Europe/Rome"'],
    ['Europe/Kyivv', 'is not a time zone'],
    ['Local', 'is not a time zone'],
    ['PST', 'is not a time zone'],
    ['SystemV/AST4', 'is not a time zone'],
    ['posix/Europe/Rome', 'is not a time zone'],
    ['../etc/passwd', 'is not a time zone'],
    ['', 'is not a time zone'],
  ])('%j is rejected', (zone, why) => {
    expect(timeZoneProblem(zone)).toContain(why);
  });
  test('an offset without a name in the database gets no suggestion', () => {
    expect(timeZoneProblem('+05:30')).not.toContain('which is this offset');
    expect(timeZoneProblem('+15')).not.toContain('which is this offset');
  });
});
