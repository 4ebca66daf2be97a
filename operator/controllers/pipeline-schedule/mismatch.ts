import { type Cron, parseCron } from '../../../crds/cron.ts';
import type { PipelineScheduleSpec } from '../../../crds/pipeline-schedule.ts';
import type { Warning } from '../warnings.ts';
import { type ClockChanges, clockChanges } from './clock-changes.ts';

/**
 * Returns a warning for a cron line that does not fire once for each bucket: it leaves buckets out, or runs some several times. The clock
 * changes are those of the year of `now`, in milliseconds since 1970.
 */
export function mismatches(
  spec: Pick<PipelineScheduleSpec, 'schedule' | 'granularity' | 'timeZone'>,
  now: number,
): Warning[] {
  const cron = parseCron(spec.schedule);
  const sentences =
    spec.granularity === 'Hour' ? ofHours(cron) : [...ofDays(cron), ...ofClock(cron, clockChanges(spec.timeZone, now))];
  if (sentences.length === 0) return [];
  const subject = `spec.schedule ${JSON.stringify(spec.schedule)} with granularity ${spec.granularity}`;
  return [{ reason: 'ScheduleMismatch', message: sentences.map(sentence => `${subject} ${sentence}`).join(' ') }];
}

function ofDays(cron: Cron): string[] {
  const times = cron.minutes.size * cron.hours.size;
  return [
    ...(times > 1
      ? [
          `fires ${times} times a day, and each firing runs the day before again; write one minute and one hour, such as "0 2 * * *".`,
        ]
      : []),
    ...(everyDay(cron)
      ? []
      : [
          'does not fire every day, and a firing handles only the day before it; write * for days and months, or fill the gaps with a Backfill.',
        ]),
  ];
}

function ofHours(cron: Cron): string[] {
  const { minutes, hours } = cron;
  return [
    ...(minutes.size > 1
      ? [
          `fires ${minutes.size} times an hour, and each firing runs the hour before again; write one minute, such as "5 * * * *".`,
        ]
      : []),
    ...(hours.size < 24
      ? [
          `handles ${hours.size} of the 24 hours of a day; write * for the hour, such as "5 * * * *", or use granularity Day.`,
        ]
      : []),
    ...(everyDay(cron)
      ? []
      : ['does not fire every day, and a firing handles only the hour before it; write * for days and months.']),
  ];
}

function everyDay({ daysOfMonth, daysOfWeek, months, eitherDay }: Cron): boolean {
  const allDates = daysOfMonth.size === 31;
  const allWeekdays = daysOfWeek.size === 7;
  return months.size === 12 && (eitherDay ? allDates || allWeekdays : allDates && allWeekdays);
}

/** Describes a daily firing that moves to another UTC day, or does not happen, because of a clock change. */
function ofClock({ minutes, hours }: Cron, { offsets, gaps }: ClockChanges): string[] {
  const [minute, hour] = [[...minutes][0], [...hours][0]];
  if (minutes.size !== 1 || hours.size !== 1 || minute === undefined || hour === undefined) return [];
  const time = hour * 60 + minute;
  const days = new Set(offsets.map(offset => Math.floor((time - offset) / 1440)));
  const remedy = 'write another time of day, or use the time zone Etc/UTC.';
  return [
    ...(gaps.some(({ from, before }) => time >= from && time < before)
      ? [`does not fire on the day on which the clock is set forward, and leaves a day out; ${remedy}`]
      : []),
    ...(days.size > 1
      ? [
          `is on another day in UTC in summer than in winter, and each year leaves a day out and runs one twice; ${remedy}`,
        ]
      : []),
  ];
}
