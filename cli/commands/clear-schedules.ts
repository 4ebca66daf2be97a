import { Command } from 'commander';
import { normaliseFilter } from '../../pipeline/filter.ts';
import { filterWords } from '../../worker/contract.ts';
import { confirmed } from '../confirmation.ts';
import { EXIT_STATUS } from '../help.ts';
import { outputOption, probeCCOption, testNameOption, warnUnknownNames } from '../options.ts';
import { TARGET_HELP, withTargetOptions } from '../orchestration/options.ts';
import type { TargetOptions } from '../orchestration/target.ts';
import { withTarget } from '../orchestration/with-target.ts';

interface Options extends TargetOptions {
  readonly probeCc: readonly string[];
  readonly testName: readonly string[];
  readonly yes?: boolean;
  readonly output: 'human' | 'json';
}

/** Creates `oonipipeline clear-schedules`, which deletes the schedule of a filter. */
export function clearSchedulesCommand(): Command {
  const command = new Command('clear-schedules')
    .addOption(probeCCOption())
    .addOption(testNameOption())
    .option('--dry-run', 'show what would be deleted; change nothing')
    .option('--yes', 'do not ask for confirmation')
    .addOption(outputOption(['human', 'json']));
  return withTargetOptions(command)
    .addHelpText(
      'after',
      `
Deletes the schedule of exactly this filter; without a filter, the schedule of all countries and all tests, and not every schedule. Runs
that it has started continue. A schedule that does not exist is not an error.

${TARGET_HELP}

${EXIT_STATUS} The answer "no" is status 1.

  oonipipeline clear-schedules --probe-cc US --test-name signal --yes`,
    )
    .action((options: Options) => {
      warnUnknownNames('clear-schedules', options);
      return withTarget('clear-schedules', options, async ({ target, settings }) => {
        const { clearSchedule, findSchedule } = await import('../orchestration/schedule.ts');
        const filter = normaliseFilter({ probeCC: options.probeCc, testNames: options.testName });
        const { id, exists } = await findSchedule(target, settings.installation, filter);
        const deletes = exists && !options.dryRun;
        if (deletes) {
          const question = `Delete ${id} (${filterWords(filter)})?`;
          if (!(await confirmed('oonipipeline clear-schedules', question, options))) return 1;
          await clearSchedule(target, settings.installation, filter);
        }
        if (options.output === 'json') console.log(JSON.stringify({ schedule: id, existed: exists, deleted: deletes }));
        else if (!exists) console.log(`${id} does not exist; nothing was deleted`);
        else console.log(deletes ? `${id} is deleted` : `would delete ${id} (${filterWords(filter)})`);
        return 0;
      });
    });
}
