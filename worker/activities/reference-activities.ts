import { ReferenceDataError } from '../../pipeline/reference/dataset.ts';
import { DATASET_NAMES, sourceOf } from '../../pipeline/reference/datasets.ts';
import { loadReference } from '../../pipeline/reference/load.ts';
import { activity } from './activity.ts';
import type { ActivityTools } from './tools.ts';
import type { ReferenceActivities } from './types.ts';

/** Number of problems of reference data in a result; the table reference_versions has more of them. */
const MAX_PROBLEMS = 5;

/** Returns the activity that loads reference data. */
export function referenceActivities(tools: ActivityTools): ReferenceActivities {
  const { clickhouse, settings, log } = tools;
  return {
    refreshReference: input =>
      activity(tools, input, async signal => {
        const dataset = DATASET_NAMES.find(each => each === input.dataset);
        if (!dataset)
          throw new ReferenceDataError(
            `"${input.dataset}" is not a data set of reference data; these are ${DATASET_NAMES.join(', ')}`,
          );
        const source = sourceOf(settings, dataset);
        if (source === undefined) return { dataset, changed: false, rows: 0, leftOut: 0, problems: [] };
        const loaded = await loadReference(clickhouse, dataset, source, { now: Date.now(), log, signal });
        const { version, changed, rows, problems } = loaded;
        return {
          dataset,
          version,
          changed,
          rows,
          leftOut: problems.length,
          problems: problems.slice(0, MAX_PROBLEMS),
        };
      }),
  };
}
