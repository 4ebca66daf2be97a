import { existsSync, statSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { z } from 'zod';
import * as fields from '../crds/fields.ts';
import { BucketError, boundsOf, granularityOf } from '../pipeline/bucket.ts';
import { type UnknownName, unknownNameMessage, unknownNames } from '../pipeline/known-names.ts';
import { NO_SOURCE } from '../pipeline/reference/no-source.ts';
import { loadSettings, type Settings, SettingsError } from '../pipeline/settings.ts';
import { parseClickHouseUrl } from '../pipeline/tables/clickhouse-url.ts';
import { inWords } from '../pipeline/validation-words.ts';
import { EMBEDDED } from './clickhouse.ts';
import { beginsWithTilde, notEmpty, TILDE } from './names.ts';

/** Values of the options that several commands share. If an option is absent, the setting counts. */
export interface CommonOptions {
  readonly archive?: string;
  readonly clickhouse?: string;
  readonly geoip?: string;
}

/** Returns the settings of the environment, with options of the command line in their place. Throws SettingsError. */
export function settingsWith(options: CommonOptions): Settings {
  const settings = loadSettings();
  const { archive = settings.archive_url, geoip = settings.geoip_dir } = options;
  return { ...settings, archive_url: archive, geoip_dir: geoip };
}

export const archiveOption = () =>
  new Option('--archive <place>', 'directory, or s3://bucket[/prefix]; setting archive_url unless given').argParser(
    archivePlace,
  );

export const clickhouseOption = () =>
  new Option(
    '--clickhouse <place>',
    'URL of a ClickHouse server, or embedded:DIR for ClickHouse in this process with its data in DIR; setting clickhouse_url unless given',
  );

export const geoipOption = () =>
  new Option(
    '--geoip <dir>',
    'directory of YYYYMMDD-*.mmdb(.gz) databases; setting geoip_dir unless given, else none',
  ).argParser(directory);

export const probeCCOption = () =>
  new Option('--probe-cc <codes>', 'countries of two letters, separated by commas')
    .default([], 'all')
    .argParser(list(fields.probeCC()));

export const testNameOption = () =>
  new Option('--test-name <names>', 'tests, separated by commas, with or without underscores')
    .default([], 'all')
    .argParser(list(fields.testNames()));

/** Creates the option `-o`. The first form is the default. */
export const outputOption = (forms: readonly string[]) =>
  new Option('-o, --output <form>', 'form of the output').choices(forms).default(forms[0]);

/** Creates the option `-o` of a command that prints a table. */
export const tableOption = () =>
  new Option('-o, --output <form>', 'table, or json with one document a row')
    .choices(['table', 'json'])
    .default(undefined, 'table on a terminal, else json');

/** Creates the option `--interval` of a command that has `--watch`. */
export const intervalOption = () =>
  new Option('--interval <seconds>', 'between two displays, with --watch').default(5).argParser(wholeNumber(1, 3600));

/** Ends the program with status 2 if --interval is given without --watch. */
export function checkInterval(command: Command): void {
  if (command.getOptionValueSource('interval') === 'cli' && !command.opts<{ watch?: boolean }>().watch) {
    command.error('error: --interval is for --watch; without it there is one display');
  }
}

/** Returns a parser for a whole number within bounds. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return text => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

/** Parses the path of an existing directory. */
export function directory(path: string): string {
  if (beginsWithTilde(notEmpty(path))) throw new InvalidArgumentError(TILDE);
  if (!existsSync(path)) throw new InvalidArgumentError(`${path} does not exist.`);
  if (!statSync(path).isDirectory()) throw new InvalidArgumentError(`${path} is not a directory.`);
  return path;
}

/** Parses the place of an archive: an existing directory or an S3 bucket. */
function archivePlace(text: string): string {
  if (/^s3:\/\/[a-z0-9][a-z0-9.-]+(\/|$)/.test(text)) return text;
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return directory(text);
  throw new InvalidArgumentError('It must be a directory, or s3://bucket[/prefix] with the name of a bucket.');
}

/** Parses a source of reference data: `none`, a URL, or an existing file. */
export function source(text: string): string {
  if (text === NO_SOURCE) return text;
  if (/^https?:\/\//.test(text)) {
    if (URL.canParse(text)) return text;
    throw new InvalidArgumentError('It must be a URL, a file, or none.');
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text))
    throw new InvalidArgumentError('It must be a URL that begins with http:// or https://, a file, or none.');
  if (beginsWithTilde(notEmpty(text))) throw new InvalidArgumentError(TILDE);
  if (!existsSync(text)) throw new InvalidArgumentError(`${text} does not exist.`);
  if (!statSync(text).isFile()) throw new InvalidArgumentError(`${text} is not a file.`);
  return text;
}

/** Parses an upload day or hour that OONI's archive may have. */
export function uploadBucket(text: string): string {
  const { error } = fields.bucket().safeParse(bucket(text));
  if (error) throw new InvalidArgumentError(`${text} ${error.issues[0]?.message}.`);
  return text;
}

/** Ends the program with status 2 if the range is invalid. */
export function checkRange(command: Command, range: { readonly startAt?: string; readonly endAt?: string }): void {
  const { startAt, endAt } = range;
  if (startAt === undefined && endAt === undefined) return;
  if (startAt === undefined || endAt === undefined) command.error('error: --start-at and --end-at go together');
  if (boundsOf(startAt).start >= boundsOf(endAt).start) {
    command.error(
      `error: --start-at ${startAt} must lie before --end-at ${endAt}, which is exclusive: one day is --start-at 2024-01-01 --end-at 2024-01-02`,
    );
  }
}

const FILTER_OPTIONS: Readonly<Record<UnknownName['field'], string>> = {
  probeCC: '--probe-cc',
  testNames: '--test-name',
};

/** Warns of unknown names in the filter, because a misspelled name selects nothing. */
export function warnUnknownNames(
  command: string,
  options: { readonly probeCc: readonly string[]; readonly testName: readonly string[] },
  program = 'oonipipeline',
): void {
  for (const unknown of unknownNames({ probeCC: options.probeCc, testNames: options.testName })) {
    console.error(`${program} ${command}: ${FILTER_OPTIONS[unknown.field]} ${unknownNameMessage(unknown)}`);
  }
}

/** Parses an upload day or hour. */
export function bucket(text: string): string {
  try {
    granularityOf(text);
    return text;
  } catch (error) {
    if (error instanceof BucketError) throw new InvalidArgumentError(`${error.message}.`);
    throw error;
  }
}

/**
 * Returns a parser for a list separated by commas. A repeated option adds to the list. The values follow the rules of the resources'
 * fields.
 */
export function list(schema: z.ZodType<string[]>): (text: string, before?: readonly string[]) => string[] {
  /** Lists that the parser has returned. `before` is one of them, or the default of the option, which a given value replaces. */
  const given = new WeakSet<readonly string[]>();
  return (text, before) => {
    const own = text.split(',').map(value => value.trim());
    if (own.includes('')) throw new InvalidArgumentError('A value between the commas is empty.');
    const values = before && given.has(before) ? [...before, ...own] : own;
    const parsed = schema.safeParse(values, { error: inWords });
    if (parsed.success) {
      given.add(parsed.data);
      return parsed.data;
    }
    const [issue] = parsed.error.issues;
    throw new InvalidArgumentError(`${JSON.stringify(values[Number(issue?.path[0])] ?? text)}: ${issue?.message}.`);
  };
}

/**
 * Ends the program with status 2 if --clickhouse is not a supported address. This is not a parser of the option: commander repeats the
 * value that a parser rejects, and this value may contain a password.
 */
export function checkClickHouse(command: Command, { clickhouse }: Pick<CommonOptions, 'clickhouse'>): void {
  if (clickhouse === undefined) return;
  if (clickhouse.startsWith(EMBEDDED) && beginsWithTilde(clickhouse.slice(EMBEDDED.length))) {
    command.error(`error: --clickhouse ${clickhouse}: ${TILDE}`);
  }
  const wrong = clickhouse.startsWith(EMBEDDED)
    ? clickhouse.length === EMBEDDED.length && 'it names no directory'
    : wrongServer(clickhouse);
  if (!wrong) return;
  command.error(
    `error: --clickhouse must be embedded:DIR, or the URL of a server such as http://user:password@host:8123/database; ${wrong}`,
  );
}

/** Returns what is wrong with the URL of a server, without the URL; undefined when nothing is. */
function wrongServer(text: string): string | undefined {
  try {
    parseClickHouseUrl(text);
    return undefined;
  } catch (error) {
    if (error instanceof SettingsError) return error.message.split(';')[0]?.replace('clickhouse_url', 'it');
    throw error;
  }
}
