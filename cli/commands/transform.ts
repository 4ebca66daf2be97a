import { createReadStream } from 'node:fs';
import { relative, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { ArchiveError, ArchiveMissingError } from '../../pipeline/archive/archive.ts';
import type { RawDocument } from '../../pipeline/archive/document.ts';
import { type FileEnd, type Packing, readPacked } from '../../pipeline/archive/documents.ts';
import { isBadKey, layoutOf, parseKey } from '../../pipeline/archive/keys.ts';
import { openArchive } from '../../pipeline/archive/open.ts';
import { EVERYTHING } from '../../pipeline/filter.ts';
import { takePlainRows } from '../../pipeline/observations/plain-rows.ts';
import { type Outcome, Transformer } from '../../pipeline/observations/transformer.ts';
import { IpDatabaseError } from '../../pipeline/reference/ip-files.ts';
import { type IpMetadata, openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { loadSettings, SETTINGS, type Settings, SettingsError } from '../../pipeline/settings.ts';
import { isSystemError } from '../../pipeline/system-error.ts';
import { RowEncoder } from '../../pipeline/tables/encoder.ts';
import { bucket, directory } from '../options.ts';
import { Output, OutputError } from '../output.ts';
import { printable } from '../printable.ts';

/** Stands for "bucket not known" in every table (archive.md section 3). */
const NO_BUCKET = '1984-01-01';
const STANDARD_INPUT = '-';
const S3 = /^s3:\/\/([^/]*)\/?(.*)$/s;
const NOTHING_READ: FileEnd = { documents: 0, compressedBytes: 0, bytes: 0 };

interface Options {
  readonly root: string;
  readonly bucketDate?: string;
  readonly geoip?: string;
}

/** Inputs and outputs of the command. Tests pass their own streams. */
export interface TransformContext {
  readonly input: AsyncIterable<Buffer>;
  readonly output: NodeJS.WritableStream;
  /** Prints a line for the user. */
  readonly complain: (message: string) => void;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Returns the settings of an archive on S3. Throws SettingsError. */
  readonly settings: () => Settings;
}

/** A file or stream of measurements. */
interface Source {
  /** Path or address, for messages and for the key. */
  readonly name: string;
  readonly bytes: AsyncIterable<Buffer>;
}

/** Creates `oonipipeline transform`, which shows the rows that the pipeline makes from measurements. Needs neither a database nor Temporal. */
export function transformCommand(): Command {
  return new Command('transform')
    .argument(
      '<files...>',
      'files: objects of the archive in any layout, JSON lines (.gz or not), - for standard input; or on S3: s3://bucket/key, s3://bucket/folder/',
    )
    .addOption(
      new Option('--root <dir>', 'directory that keys are relative to')
        .default('.', 'the current one')
        .argParser(directory),
    )
    .option('--bucket-date <date>', 'YYYY-MM-DD or YYYY-MM-DDTHH; the upload time in the key unless given', bucket)
    .option('--geoip <dir>', 'directory of YYYYMMDD-*.mmdb(.gz) databases; none unless given', directory)
    .addHelpText(
      'after',
      `
Each line has key, line (1-based), measurement_uid, test_name, status (ok, skipped, failed, unsupported), error or reason where
there is one, and tables: the rows by table, without null columns and without created_at and run_generation.

Exit status: 0 every file was read to its end, even if measurements failed; 1 a file could not be read; 2 wrong usage.

  oonipipeline transform raw/20210817/15/US/signal/2021081715_US_signal.n0.0.tar.gz | jq .status
  oonipipeline transform s3://ooni-data-eu-fra/raw/20240101/00/IT/signal/ | jq -r .measurement_uid
  curl -s 'https://api.ooni.io/api/v1/measurement/UID' | jq -c . | oonipipeline transform -`,
    )
    .action(async (files: string[], options: Options) => {
      const complain = (message: string) => console.error(printable(`oonipipeline transform: ${message}`));
      const context = {
        input: process.stdin,
        output: process.stdout,
        complain,
        now: Date.now(),
        settings: loadSettings,
      };
      process.exitCode = await transformFiles(files, options, context);
    });
}

/** Transforms files and returns the exit status: 0, or 1 if some file could not be read to its end. Continues after such a file. */
export async function transformFiles(
  files: readonly string[],
  options: Options,
  context: TransformContext,
): Promise<number> {
  const output = new Output(context.output, 'json');
  let status = 0;
  try {
    const ipMetadata = openIpMetadata(options.geoip);
    for (const given of files) {
      if (output.closed) break;
      try {
        for await (const source of sourcesOf(given, context)) {
          const end = await transformSource(source, options, ipMetadata, output, context);
          if (output.closed) break;
          if (end.truncated !== undefined) {
            context.complain(`${source.name} is damaged; ${end.documents} measurements were read: ${end.truncated}`);
            status = 1;
          } else if (end.documents === 0) context.complain(`${source.name} holds no measurements`);
        }
      } catch (error) {
        context.complain(`${given} cannot be read: ${readProblem(error)}`);
        status = 1;
      }
    }
  } catch (error) {
    if (!(error instanceof IpDatabaseError || error instanceof OutputError)) throw error;
    context.complain(error.message);
    return 1;
  }
  return status;
}

/**
 * Yields the sources that an argument names: standard input, a file, an object on S3, or all objects of an S3 folder. Throws ArchiveErrors
 * and SettingsError.
 */
async function* sourcesOf(given: string, { input, settings }: TransformContext): AsyncGenerator<Source> {
  const [, bucket, key] = S3.exec(given) ?? [];
  if (bucket === undefined || key === undefined) {
    const bytes = given === STANDARD_INPUT ? input : createReadStream(given, { highWaterMark: 256 * 1024 });
    return yield { name: given, bytes };
  }
  if (bucket === '' || key === '') {
    throw new ArchiveMissingError(
      'it is not an object; write s3://bucket/key, or s3://bucket/folder/ for all objects in it',
    );
  }
  const archive = openArchive({ ...settings(), archive_url: `s3://${bucket}`, archive_legacy_url: '' });
  const isFolder = key.endsWith('/');
  let below = false;
  let found = false;
  for await (const object of archive.list(key)) {
    if (!isFolder && object.key !== key) {
      below ||= object.key.startsWith(`${key}/`);
      if (below || object.key > `${key}/`) break;
      continue;
    }
    found = true;
    if (!object.key.endsWith('/')) yield { name: `s3://${bucket}/${object.key}`, bytes: archive.open(object) };
    if (!isFolder) break;
  }
  if (below && !found) throw new ArchiveMissingError('it is a folder; end it with a slash to read all objects in it');
  if (!found) throw new ArchiveMissingError(isFolder ? 'there is no object in it' : 'there is no such object');
}

async function transformSource(
  { name, bytes }: Source,
  options: Options,
  ipMetadata: IpMetadata,
  output: Output,
  context: TransformContext,
): Promise<FileEnd> {
  const key = keyOf(name, options.root);
  const encoder = new RowEncoder();
  const bucketDate = options.bucketDate ?? bucketOf(key);
  const facts = { bucket: bucketDate, generation: context.now, createdAt: context.now };
  const transformer = new Transformer({ ...facts, filter: EVERYTHING, ipMetadata, encoder });
  const maxMeasurementBytes = SETTINGS.max_measurement_bytes.parse(undefined);
  const documents = readPacked(bytes, packingOf(name), { maxMeasurementBytes });
  for (;;) {
    const next = await documents.next();
    if (next.done) return next.value;
    for (const document of next.value) {
      const outcome = transformer.transform(document, key);
      await output.write(`${show(key, document, outcome, takePlainRows(encoder))}\n`);
      if (output.closed) {
        await documents.return(NOTHING_READ);
        return NOTHING_READ;
      }
    }
  }
}

/** Formats one measurement in the format of the expected rows. */
function show(key: string, document: RawDocument, outcome: Outcome, tables: object): string {
  const { error } = outcome;
  return JSON.stringify({
    key,
    line: document.line,
    measurement_uid: outcome.uid,
    test_name: outcome.testName,
    status: outcome.status === 'transformed' ? 'ok' : outcome.status,
    reason: outcome.reason,
    error: error && `${error.class}: ${error.message}`,
    tables,
  });
}

function keyOf(file: string, root: string): string {
  if (file === STANDARD_INPUT) return file;
  // The prefix of an archive on S3 is not part of its keys.
  if (S3.test(file)) return /\/((?:raw|jsonl|canned)\/.*)$/.exec(file)?.[1] ?? file.replace(S3, '$2');
  const key = relative(resolve(root), resolve(file));
  return key.startsWith('..') ? file : key;
}

function bucketOf(key: string): string {
  const parsed = parseKey({ key, size: 0, etag: '' });
  return parsed && !isBadKey(parsed) ? parsed.hour.slice(0, 10) : NO_BUCKET;
}

function packingOf(file: string): Packing {
  return layoutOf(file) ?? 'lines';
}

/** Returns the message for an error of a file or an archive. Throws every other error. */
function readProblem(error: unknown): string {
  if (isSystemError(error) && error.code === 'EISDIR') return 'it is a directory; name the files in it';
  if (isSystemError(error) || error instanceof ArchiveError || error instanceof SettingsError) return error.message;
  throw error;
}
