import { type Cron, parseCron } from '../../../crds/cron.ts';
import type { PipelineScheduleSpec } from '../../../crds/pipeline-schedule.ts';
import type { Doubt } from '../warnings.ts';

/** A cron line that does not fire once for each bucket: it leaves buckets out, or runs some several times. */
export function mismatches(spec: Pick<PipelineScheduleSpec, 'schedule' | 'granularity'>): Doubt[] {
  const cron = parseCron(spec.schedule);
  const sentences = spec.granularity === 'Hour' ? ofHours(cron) : ofDays(cron);
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
