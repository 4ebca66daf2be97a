import { createReadStream } from 'node:fs';
import { relative, resolve } from 'node:path';
import { Command, Option } from 'commander';
import type { RawDocument } from '../../pipeline/archive/document.ts';
import { type FileEnd, type Packing, readPacked } from '../../pipeline/archive/documents.ts';
import { isBadKey, layoutOf, parseKey } from '../../pipeline/archive/keys.ts';
import { EVERYTHING } from '../../pipeline/filter.ts';
import { type Outcome, Transformer } from '../../pipeline/observations/transformer.ts';
import { takePlainRows } from '../../pipeline/observations/view.ts';
import { IpDatabaseError } from '../../pipeline/reference/ip-files.ts';
import { type IpMetadata, openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { SETTINGS } from '../../pipeline/settings.ts';
import { isSystemError } from '../../pipeline/system-error.ts';
import { RowEncoder } from '../../pipeline/tables/encoder.ts';
import { bucket, directory } from '../options.ts';
import { Output, OutputError } from '../output.ts';

/** Stands for "bucket not known" in every table (archive.md section 3). */
const NO_BUCKET = '1984-01-01';
const STANDARD_INPUT = '-';
const NOTHING_READ: FileEnd = { documents: 0, compressedBytes: 0, bytes: 0 };

interface Options {
  readonly root: string;
  readonly bucketDate?: string;
  readonly geoip?: string;
}

/** What the command is run with; the tests give it streams of their own. */
export interface TransformContext {
  readonly input: AsyncIterable<Buffer>;
  readonly output: NodeJS.WritableStream;
  /** Prints a line for a person. */
  readonly complain: (message: string) => void;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** `oonipipeline transform`: shows what the pipeline makes of measurements. No database, no Temporal. */
export function transformCommand(): Command {
  return new Command('transform')
    .description('Show the rows that the pipeline makes of measurements, one JSON document a measurement')
    .argument('<files...>', 'objects of the archive in any layout, JSON lines (.gz or not), or - for standard input')
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
Each line has key, line (1-based), measurement_uid, test_name, status (ok, skipped, failed, unsupported), error where there is
one, and tables: the rows by table, without null columns and without created_at and run_generation.

Exit status: 0 every file was read to its end, whatever became of its measurements; 1 some file could not be; 2 wrong usage.

  oonipipeline transform raw/20210817/15/US/signal/2021081715_US_signal.n0.0.tar.gz | jq .status
  curl -s 'https://api.ooni.io/api/v1/measurement/UID' | jq -c . | oonipipeline transform -`,
    )
    .action(async (files: string[], options: Options) => {
      const complain = (message: string) => console.error(`oonipipeline transform: ${message}`);
      const context = { input: process.stdin, output: process.stdout, complain, now: Date.now() };
      process.exitCode = await transformFiles(files, options, context);
    });
}

/** Returns the exit status: 0, or 1 when some file could not be read to its end. Goes on behind such a file. */
export async function transformFiles(
  files: readonly string[],
  options: Options,
  context: TransformContext,
): Promise<number> {
  const output = new Output(context.output);
  let status = 0;
  try {
    const ipMetadata = openIpMetadata(options.geoip);
    for (const file of files) {
      if (output.closed) break;
      const problem = await transformFile(file, options, ipMetadata, output, context).then(
        end => end.truncated && `${file} is damaged; ${end.documents} measurements were read: ${end.truncated}`,
        error => `${file} cannot be read: ${readError(error).message}`,
      );
      if (problem === undefined) continue;
      context.complain(problem);
      status = 1;
    }
  } catch (error) {
    if (!(error instanceof IpDatabaseError || error instanceof OutputError)) throw error;
    context.complain(error.message);
    return 1;
  }
  return status;
}

async function transformFile(
  file: string,
  options: Options,
  ipMetadata: IpMetadata,
  output: Output,
  context: TransformContext,
): Promise<FileEnd> {
  const key = keyOf(file, options.root);
  const encoder = new RowEncoder();
  const bucketDate = options.bucketDate ?? bucketOf(key);
  const facts = { bucket: bucketDate, generation: context.now, createdAt: context.now };
  const transformer = new Transformer({ ...facts, filter: EVERYTHING, ipMetadata, encoder });
  const source = file === STANDARD_INPUT ? context.input : createReadStream(file, { highWaterMark: 256 * 1024 });
  const maxMeasurementBytes = SETTINGS.max_measurement_bytes.parse(undefined);
  const documents = readPacked(source, packingOf(file), { maxMeasurementBytes });
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

/** One measurement in the form of the expected rows. */
function show(key: string, document: RawDocument, outcome: Outcome, tables: object): string {
  const { error } = outcome;
  return JSON.stringify({
    key,
    line: document.line,
    measurement_uid: outcome.uid,
    test_name: outcome.testName,
    status: outcome.status === 'transformed' ? 'ok' : outcome.status,
    error: error && `${error.class}: ${error.message}`,
    tables,
  });
}

function keyOf(file: string, root: string): string {
  if (file === STANDARD_INPUT) return file;
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

/** An error of the operating system, which is a file's; throws every other. */
function readError(error: unknown): Error {
  if (isSystemError(error)) return error;
  throw error;
}
