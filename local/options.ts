import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { nearestName } from '../pipeline/nearest-name.ts';
import { UsageError } from './process.ts';
import { ROOT } from './stack.ts';

export const HELP = `npm start -- [options]

Starts Kubernetes, Temporal, ClickHouse and the operator on this machine, creates those resources of examples/
that do not exist yet, follows the backfills to their end and stays up until Ctrl-C.

  --no-kubernetes    start only Temporal, with its UI, and ClickHouse: what oonipipeline needs
  --traces           also start Jaeger, which receives the traces of all programs, with its UI on port 8088
  --superset         also start Superset with the dashboards, on port 8083; installs it from PyPI the first time
  --exit-when-done   stop everything after the summary, whose last line is one JSON object
  --clean            delete the data of earlier starts
  --data DIR         where data and logs are kept (.ooni)
  --port-offset N    add N to every port
  --help             this text

Settings in the environment hold for the workers and the operator: ARCHIVE_URL=s3://ooni-data-eu-fra reads
OONI's public archive instead of test/fixtures/archive; CLICKHOUSE_URL uses a ClickHouse that runs already.`;

/** Options of `npm start`. */
export interface Options {
  readonly kubernetes: boolean;
  readonly superset: boolean;
  readonly traces: boolean;
  readonly exitWhenDone: boolean;
  readonly clean: boolean;
  readonly data: string;
  readonly portOffset: number;
}

/** Returns the options; undefined for --help. Throws UsageError for wrong ones. */
export function readOptions(args: readonly string[]): Options | undefined {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(args);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(`${error.message.split('. ')[0]}.${nearest(error)} npm start -- --help lists the options.`);
  }
  if (values.help) return undefined;
  if (values.data === '') throw new UsageError('--data is empty: name a directory, or leave the option out for .ooni.');
  // Number reads an empty text as 0.
  const portOffset = Number(values['port-offset']?.trim() === '' ? Number.NaN : (values['port-offset'] ?? 0));
  if (!Number.isInteger(portOffset) || portOffset < -6000 || portOffset > 57_000) {
    throw new UsageError(`--port-offset "${values['port-offset']}": write a whole number between -6000 and 57000.`);
  }
  if (values.traces && process.env.TELEMETRY_ENDPOINT) {
    throw new UsageError(
      `TELEMETRY_ENDPOINT is ${process.env.TELEMETRY_ENDPOINT}, but --traces starts another receiver of traces. Unset it, or leave --traces out.`,
    );
  }
  if (values['no-kubernetes'] && values['exit-when-done']) {
    throw new UsageError('--no-kubernetes starts servers and no work, so --exit-when-done has nothing to wait for.');
  }
  return {
    kubernetes: !values['no-kubernetes'],
    superset: values.superset ?? false,
    traces: values.traces ?? false,
    exitWhenDone: values['exit-when-done'] ?? false,
    clean: values.clean ?? false,
    data: values.data ? here(values.data) : join(ROOT, '.ooni'),
    portOffset,
  };
}

/** Resolves a path against the user's folder: npm runs scripts in the project's folder, wherever the user is. */
export function here(path: string): string {
  return resolve(process.env.INIT_CWD ?? '.', path);
}

const OPTIONS = {
  superset: { type: 'boolean' },
  traces: { type: 'boolean' },
  'exit-when-done': { type: 'boolean' },
  'no-kubernetes': { type: 'boolean' },
  clean: { type: 'boolean' },
  data: { type: 'string' },
  'port-offset': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS }).values;
}

/** Returns the question for the option that an unknown one was probably meant to be; empty if none is near. */
function nearest({ message }: TypeError): string {
  const [, unknown] = /^Unknown option '--([^']+)'/.exec(message) ?? [];
  const name = unknown && nearestName(unknown, Object.keys(OPTIONS), 2);
  return name ? ` Did you mean --${name}?` : '';
}
