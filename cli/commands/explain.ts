import { Command, InvalidArgumentError } from 'commander';
import { explain } from '../../pipeline/analysis/explain.ts';
import { RULES_VERSIONS, type RulesVersion } from '../../pipeline/analysis/rules.ts';
import { AnalysisError } from '../../pipeline/analysis/selection.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { openClickHouse } from '../clickhouse.ts';
import { withExitStatus } from '../exit-status.ts';
import { explanationText } from '../explanation-text.ts';
import { type MeasurementAddress, parseMeasurement } from '../measurement-address.ts';
import { type CommonOptions, checkClickHouse, clickhouseOption, outputOption } from '../options.ts';
import { Output } from '../output.ts';
import { printableValue } from '../printable.ts';

interface Options extends CommonOptions {
  readonly rules?: RulesVersion;
  readonly output: 'human' | 'json';
}

/** Creates `oonipipeline explain`, which shows the reasons for a verdict. */
export function explainCommand(): Command {
  return new Command('explain')
    .argument(
      '<measurement>',
      'its measurement_uid, or its address such as https://explorer.ooni.org/m/<measurement_uid>',
    )
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
The measurement is judged again from the current rows of the tables, by the same statement as in a run, and compared with its
stored verdict. Nothing is written. docs/analysis-rules.md describes the rules and signals.

Exit status: 0 explained; 1 there is nothing to explain, or no database (standard error says what); 2 wrong usage.`,
    )
    .action((measurement: string, options: Options, command: Command) => {
      checkClickHouse(command, options);
      const address = parseMeasurement(measurement);
      if (!address) {
        command.error(
          `error: ${JSON.stringify(measurement)} is not a measurement_uid, nor the address of a measurement such as https://explorer.ooni.org/m/<measurement_uid>`,
        );
      }
      return withExitStatus('explain', async () => {
        const { clickhouse, settings, close } = await openClickHouse(options.clickhouse);
        try {
          const versions = { asked: options.rules, otherwise: settings.analysis_rules_version };
          const uid = 'uid' in address ? address.uid : await findUid(clickhouse, address);
          const explanation = await explain(clickhouse, uid, versions);
          if (options.output === 'json') {
            await new Output(process.stdout, 'json').write(`${JSON.stringify(explanation)}\n`);
          } else {
            await new Output(process.stdout).write(explanationText(printableValue(explanation)));
          }
          return 0;
        } finally {
          await close();
        }
      });
    });
}

/** Finds the measurement of a report with an input. Throws AnalysisError if there are none, or more than one. */
async function findUid(
  clickhouse: ClickHouse,
  { reportID, input }: Exclude<MeasurementAddress, { readonly uid: string }>,
): Promise<string> {
  const withInput = input === undefined ? '' : ' AND input = {input:String}';
  const rows = await clickhouse.select<{ uid: string }>(
    `SELECT DISTINCT measurement_uid AS uid FROM obs_web WHERE report_id = {reportID:String}${withInput} ORDER BY uid LIMIT 11`,
    { params: { reportID, input: input ?? '' } },
  );
  const what = `report ${reportID}${input === undefined ? '' : ` with the input ${input}`}`;
  const [first] = rows;
  if (!first) throw new AnalysisError(`there are no observations of ${what}`);
  if (rows.length === 1) return first.uid;
  const uids = rows.slice(0, 10).map(({ uid }) => uid);
  throw new AnalysisError(
    `${what} has ${rows.length > 10 ? 'more than 10' : rows.length} measurements; name one of them: ${uids.join(', ')}`,
  );
}

function version(text: string): RulesVersion {
  const found = RULES_VERSIONS.find(each => String(each) === text);
  if (!found) throw new InvalidArgumentError(`There are versions ${RULES_VERSIONS.join(' and ')}.`);
  return found;
}
