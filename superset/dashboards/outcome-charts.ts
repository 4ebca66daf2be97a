import { type About, bars, number } from '../charts.ts';
import type { Chart, Dataset } from '../model.ts';

/** Condition on a verdict. */
export const BLOCKED = "outcome = 'blocked'";

export const OUTCOMES_TEXT = `**blocked**: a layer shows signs of blocking, and the site was not reached. **partly_blocked**: as before, but another address of the site worked.
**down**: the control could not reach it either. **refused**: the site itself refuses the page. **ok**: it worked. **unknown**: nothing could be judged; this is not a sign of blocking, and not a sign that it worked.`;

/** Measurements, or other things that a metric counts, over time, by outcome. */
export function outcomesOverTime(dataset: Dataset, metric = 'n_measurements', things = 'Measurements'): Chart {
  const about: About = {
    title: 'Outcomes over time',
    description: `${things} by day of measurement and outcome.`,
    dataset,
  };
  return bars(about, [metric], { by: 'outcome' });
}

/** Share of blocked measurements. */
export function shareBlocked(dataset: Dataset): Chart {
  const about: About = { title: 'Share blocked', description: 'Blocked measurements divided by all.', dataset };
  return number(about, 'share_blocked', { format: '.1%' });
}
