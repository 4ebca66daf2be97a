import { Command } from 'commander';
import { bucketsBetween } from '../../pipeline/bucket.ts';
import { type ClickHouse, identifier } from '../../pipeline/tables/clickhouse.ts';
import { onCluster } from '../../pipeline/tables/ddl.ts';
import { OBSERVATION_TABLES } from '../../pipeline/tables/schema.ts';
import { openClickHouse } from '../clickhouse.ts';
import { withExitStatus } from '../exit-status.ts';
import { type CommonOptions, checkClickHouse, clickhouseOption, tableOption } from '../options.ts';
import { endAtOption, type RangeOptions, rangeOf, startAtOption } from '../ranges.ts';
import { type Column, printRows, type TableForm } from '../table.ts';

interface Options extends CommonOptions, RangeOptions {
  readonly optimize?: boolean;
  readonly dryRun?: boolean;
  readonly output?: TableForm;
}

/** Rows of a bucket that have the sorting key of another row. */
export interface Duplicates {
  readonly table: string;
  readonly bucket: string;
  readonly duplicates: number;
}

const COLUMNS: readonly Column<Duplicates>[] = [
  { title: 'TABLE', text: row => row.table },
  { title: 'BUCKET', text: row => row.bucket },
  {
    title: 'DUPLICATES',
    text: row => row.duplicates.toLocaleString('en'),
    right: true,
    paint: (_, { doubtful }) => doubtful,
  },
];

/** Creates `oonipipeline check-duplicates`, which counts duplicate rows that ClickHouse has not merged yet. */
export function checkDuplicatesCommand(): Command {
  return new Command('check-duplicates')
    .addOption(startAtOption())
    .addOption(endAtOption())
    .option('--optimize', 'merge the months with duplicates, wait for it, and count again')
    .option('--no-optimize', 'only count')
    .option('--dry-run', 'with --optimize: print the statements; send none')
    .addOption(clickhouseOption())
    .addOption(tableOption())
    .addHelpText(
      'after',
      `
Counts, by bucket, the rows of the five obs_ tables whose sorting key another row has. Such rows appear when a
write was repeated, and disappear when ClickHouse merges; queries with FINAL never see them.

Exit status: 0 there are none, or --optimize removed them; 1 there are some, or ClickHouse rejected the statement; 2 wrong usage.

  oonipipeline check-duplicates --start-at 2024-01-01 --end-at 2024-02-01
  oonipipeline check-duplicates --start-at 2024-01-01 --end-at 2024-02-01 --optimize`,
    )
    .action((options: Options, command: Command) => {
      checkClickHouse(command, options);
      const range = rangeOf(command, options, 'Day', Date.now());
      if (options.dryRun && !options.optimize)
        command.error('error: --dry-run is for --optimize; without it nothing is changed');
      return withExitStatus('check-duplicates', async () => {
        const { clickhouse, close } = await openClickHouse(options.clickhouse);
        try {
          const print = {
            ...(options.output && { form: options.output }),
            none: 'oonipipeline check-duplicates: no duplicates found',
          };
          const found = await findDuplicates(clickhouse, range);
          if (!options.optimize || found.length === 0) {
            await printRows(COLUMNS, found, print);
            return found.length > 0 ? 1 : 0;
          }
          const statements = statementsOf(clickhouse, found);
          if (options.dryRun) {
            for (const statement of statements) console.log(`${statement};`);
            return 1;
          }
          for (const statement of statements) {
            console.error(statement);
            await clickhouse.command(statement);
          }
          const left = await findDuplicates(clickhouse, range);
          await printRows(COLUMNS, left, print);
          return left.length > 0 ? 1 : 0;
        } finally {
          await close();
        }
      });
    });
}

/** Counts the duplicates of each day of the range, day by day so that the memory does not grow with the range. Throws TableErrors. */
async function findDuplicates(
  clickhouse: ClickHouse,
  { startAt, endAt }: { readonly startAt: string; readonly endAt: string },
): Promise<Duplicates[]> {
  const found: Duplicates[] = [];
  for (const day of bucketsBetween(startAt, endAt, 'Day')) {
    for (const { name, orderBy } of OBSERVATION_TABLES) {
      const key = orderBy.map(identifier).join(', ');
      const rows = await clickhouse.select<Omit<Duplicates, 'table'>>(
        `SELECT bucket_date AS bucket, count() - uniqExact(${key}) AS duplicates
         FROM ${identifier(name)} WHERE bucket_date = {day:String} OR startsWith(bucket_date, {hours:String})
         GROUP BY bucket_date HAVING duplicates > 0 ORDER BY bucket_date`,
        { params: { day, hours: `${day}T` } },
      );
      found.push(...rows.map(row => ({ table: name, ...row })));
    }
  }
  return found;
}

function statementsOf(clickhouse: ClickHouse, found: readonly Duplicates[]): string[] {
  const months = new Set(found.map(({ table, bucket }) => `${table} ${bucket.slice(0, 4)}${bucket.slice(5, 7)}`));
  return [...months].map(month => {
    const [table = '', partition = ''] = month.split(' ');
    return `OPTIMIZE TABLE ${identifier(table)}${onCluster(clickhouse)} PARTITION '${partition}' FINAL`;
  });
}
