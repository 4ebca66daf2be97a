import { Command, Option } from 'commander';
import { normaliseFilter } from '../../pipeline/filter.ts';
import type { RunStage } from '../../pipeline/ledger/ledger.ts';
import { filterWords } from '../../worker/contract.ts';
import { EXIT_STATUS } from '../help.ts';
import { outputOption, probeCCOption, testNameOption, warnUnknownNames } from '../options.ts';
import { TARGET_HELP, withTargetOptions } from '../orchestration/options.ts';
import type { TargetOptions } from '../orchestration/target.ts';
import { withTarget } from '../orchestration/with-target.ts';

interface Options extends TargetOptions {
  readonly probeCc: readonly string[];
  readonly testName: readonly string[];
  readonly analysis: boolean;
  readonly output: 'human' | 'json';
}

/** Creates `oonipipeline schedule`, which processes each new day of a filter. */
export function scheduleCommand(): Command {
  const command = new Command('schedule')
    .addOption(probeCCOption())
    .addOption(testNameOption())
    .addOption(new Option('--analysis', 'judge the measurements of each day, too').default(true))
    .addOption(new Option('--no-analysis', 'only make observations'))
    .addOption(outputOption(['human', 'json']));
  return withTargetOptions(command)
    .addHelpText(
      'after',
      `
Creates the schedule of the filter, or updates it: each day at 02:00 UTC it processes the day before. A repeated command changes nothing.
There is one schedule for each filter. A paused schedule stays paused. Workers do the work: oonipipeline startworkers.

${TARGET_HELP}

${EXIT_STATUS}

  oonipipeline schedule --probe-cc US --test-name signal
  oonipipeline schedule --no-analysis`,
    )
    .action((options: Options) => {
      warnUnknownNames('schedule', options);
      return withTarget('schedule', options, async ({ target, settings, log }) => {
        const { schedule } = await import('../orchestration/schedule.ts');
        const filter = normaliseFilter({ probeCC: options.probeCc, testNames: options.testName });
        const stages: RunStage[] = options.analysis ? ['Observations', 'Analysis'] : ['Observations'];
        const outcome = await schedule(target, { installation: settings.installation, filter, stages }, log);
        if (options.output === 'json') {
          console.log(JSON.stringify(outcome));
          return 0;
        }
        console.log(
          `${outcome.schedule} is ${outcome.action}: each day, ${filterWords(filter)}; ${stages.join(' and ').toLowerCase()}`,
        );
        if (outcome.paused) console.log('It is paused, so nothing fires.');
        else if (outcome.next)
          console.log(`Next: ${outcome.next.bucket}, at ${outcome.next.at.slice(0, 16).replace('T', ' ')} UTC`);
        return 0;
      });
    });
}
