import { Option } from 'commander';
import * as fields from '../crds/fields.ts';
import { list, wholeNumber } from './options.ts';

/** Options of the commands that run or start the buckets of a range. */

export const granularityOption = () =>
  new Option('--granularity <size>', 'size of a bucket: Day or Hour of upload').choices(['Day', 'Hour']).default('Day');

export const stagesOption = () =>
  new Option('--stages <names>', 'Observations (archive to rows), Analysis (rows to verdicts)')
    .default(['Observations', 'Analysis'], 'both')
    .argParser(list(fields.stages()));

export const orderOption = () =>
  new Option('--order <order>', 'order in which buckets are processed')
    .choices(['OldestFirst', 'NewestFirst'])
    .default('OldestFirst');

const REPROCESS =
  'None: buckets that are not done; Failed: those whose last run failed, too; All: every one, replacing rows';

export const reprocessOption = () =>
  new Option('--reprocess <which>', REPROCESS).choices(['None', 'Failed', 'All']).default('None');

/** Creates the option `--reprocess` in the form that the Python pipeline has as well, without a value. */
export const reprocessOrAllOption = () =>
  new Option('--reprocess [which]', `${REPROCESS}; without a value: All`)
    .choices(['None', 'Failed', 'All'])
    .preset('All')
    .default('None');

export const maxActiveRunsOption = () =>
  new Option('--max-active-runs <n>', 'buckets that are active at a time').default(4).argParser(wholeNumber(1, 200));
