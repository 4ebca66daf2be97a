import { Command, InvalidArgumentError, Option } from 'commander';
import { RULES_VERSIONS, type RulesVersion } from '../../pipeline/analysis/rules.ts';
import { AnalysisError } from '../../pipeline/analysis/selection.ts';
import { loadSettings, SettingsError } from '../../pipeline/settings.ts';
import { TableError } from '../../pipeline/tables/errors.ts';
import { explain } from '../../pipeline/tables/explain.ts';
import { openClickHouse } from '../clickhouse.ts';
import { explanationText } from '../explanation-text.ts';

interface Options {
  readonly clickhouse?: string;
  readonly rules?: RulesVersion;
  readonly output: 'text' | 'json';
}

/** `oonipipeline explain`: how a verdict comes about, for a person who doubts it. */
export function explainCommand(): Command {
  return new Command('explain')
    .description('Show how the verdict on a measurement comes about: observations, control, rule by rule')
    .argument('<measurement_uid>', 'as in the address https://explorer.ooni.org/m/<measurement_uid>')
    .option('--clickhouse <location>', 'another ClickHouse than that of the settings (clickhouse_url)')
    .option(
      '--rules <version>',
      `version of the rules: ${RULES_VERSIONS.join(' or ')}; that of the stored verdict unless given`,
      version,
    )
    .addOption(
      new Option('-o, --output <format>', 'for people or for programs').choices(['text', 'json']).default('text'),
    )
    .addHelpText(
      'after',
      `
The measurement is judged again from what the tables hold now, by the same statement as in a run, and compared with its
stored verdict. Nothing is written. docs/analysis-rules.md tells what rules and signals mean.

Exit status: 0 explained; 1 there is nothing to explain, or no database (standard error says what); 2 wrong usage.`,
    )
    .action(async (uid: string, options: Options) => {
      process.exitCode = await explainMeasurement(uid, options);
    });
}

/** Returns the exit status. */
async function explainMeasurement(uid: string, options: Options): Promise<number> {
  try {
    const otherwise = loadSettings().analysis_rules_version;
    const { clickhouse, close } = await openClickHouse(options.clickhouse);
    try {
      const explanation = await explain(clickhouse, uid.trim(), { asked: options.rules, otherwise });
      process.stdout.write(
        options.output === 'json' ? `${JSON.stringify(explanation)}\n` : explanationText(explanation),
      );
      return 0;
    } finally {
      await close();
    }
  } catch (error) {
    const foreseen = [AnalysisError, SettingsError, TableError].some(kind => error instanceof kind);
    if (!foreseen) throw error;
    console.error(`oonipipeline explain: ${(error as Error).message}`);
    return 1;
  }
}

function version(text: string): RulesVersion {
  const found = RULES_VERSIONS.find(each => String(each) === text);
  if (!found) throw new InvalidArgumentError(`There are versions ${RULES_VERSIONS.join(' and ')}.`);
  return found;
}
