import { Command, InvalidArgumentError } from 'commander';
import { RULES_VERSIONS, type RulesVersion } from '../../pipeline/analysis/rules.ts';
import { explain } from '../../pipeline/tables/explain.ts';
import { attempt } from '../attempt.ts';
import { openClickHouse } from '../clickhouse.ts';
import { explanationText } from '../explanation-text.ts';
import { type CommonOptions, checkClickHouse, clickhouseOption, outputOption } from '../options.ts';

interface Options extends CommonOptions {
  readonly rules?: RulesVersion;
  readonly output: 'human' | 'json';
}

/** `oonipipeline explain`: how a verdict comes about, for a person who doubts it. */
export function explainCommand(): Command {
  return new Command('explain')
    .description('Show how the verdict on a measurement comes about: observations, control, rule by rule')
    .argument('<measurement_uid>', 'as in the address https://explorer.ooni.org/m/<measurement_uid>')
    .addOption(clickhouseOption())
    .option(
      '--rules <version>',
      `version of the rules: ${RULES_VERSIONS.join(' or ')}; that of the stored verdict unless given`,
      version,
    )
    .addOption(outputOption(['human', 'json']))
    .addHelpText(
      'after',
      `
The measurement is judged again from what the tables hold now, by the same statement as in a run, and compared with its
stored verdict. Nothing is written. docs/analysis-rules.md tells what rules and signals mean.

Exit status: 0 explained; 1 there is nothing to explain, or no database (standard error says what); 2 wrong usage.`,
    )
    .action((uid: string, options: Options, command: Command) => {
      checkClickHouse(command, options);
      return attempt('explain', async () => {
        const { clickhouse, settings, close } = await openClickHouse(options.clickhouse);
        try {
          const versions = { asked: options.rules, otherwise: settings.analysis_rules_version };
          const explanation = await explain(clickhouse, uid.trim(), versions);
          process.stdout.write(
            options.output === 'json' ? `${JSON.stringify(explanation)}\n` : explanationText(explanation),
          );
          return 0;
        } finally {
          await close();
        }
      });
    });
}

function version(text: string): RulesVersion {
  const found = RULES_VERSIONS.find(each => String(each) === text);
  if (!found) throw new InvalidArgumentError(`There are versions ${RULES_VERSIONS.join(' and ')}.`);
  return found;
}
