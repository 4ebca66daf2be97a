import { readdirSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { Command, CommanderError, type Option } from 'commander';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { createKubectlProgram } from './kubectl/program.ts';
import { probeCCOption } from './options.ts';
import { createProgram } from './program.ts';

/**
 * Every option of every command with each kind of wrong value. The options come from the commands themselves, so that a new option without
 * a row here fails the test.
 */
const PROGRAMS = { oonipipeline: createProgram, 'kubectl ooni': createKubectlProgram };

type Wrong = readonly (readonly [value: string, message: string])[];
const BUCKETS: Wrong = [
  ['', 'is not a bucket'],
  ['yesterday', 'is not a bucket'],
  ['2024-02-30', 'is not a day of the calendar'],
  ['2024-1-1', 'is not a bucket'],
  ['2024-01-01T24', 'is not an hour of the calendar'],
];
const RANGE: Wrong = [...BUCKETS, ['2011-12-31', 'lies before 2012']];
const EMPTY: Wrong = [
  ['', 'It is empty'],
  [' ', 'It is empty'],
];
const TILDE = 'The shell replaces ~ only at the beginning of a word';
const PATH: Wrong = [...EMPTY, ['~', TILDE], ['~/data', TILDE]];
const whole = (least: number, most: number): Wrong =>
  ['', 'x', '-1', '1.5', '0x10', '1e1', String(least - 1), String(most + 1)].map(value => [
    value,
    `It must be a whole number from ${least} to ${most}`,
  ]);
const choice = (...values: string[]): Wrong => ['', 'xml', ...values].map(value => [value, 'Allowed choices are']);
const names = (message: string): Wrong => [
  ['', 'is empty'],
  ['None,', 'is empty'],
  ['None', message],
];
const DIRECTORY: Wrong = [
  ['', 'It is empty'],
  ['/nowhere', 'does not exist'],
  ['~/data', TILDE],
  [import.meta.filename, 'is not a directory'],
];
const SOURCE: Wrong = [
  ['', 'It is empty'],
  ['/nowhere', 'does not exist'],
  ['.', 'is not a file'],
  ['http://', 'It must be a URL, a file, or none'],
  ['ftp://host/x.csv', 'It must be a URL that begins with http'],
  ['~/x.csv', TILDE],
];
const NAMESPACE: Wrong = ['', 'Default', 'a b', '../kube-system', '-a', 'a'.repeat(64)].map(value => [
  value,
  'A namespace has lower-case letters',
]);

/** Wrong values by option. `command option` comes before `option`. */
const WRONG: Readonly<Record<string, Wrong>> = {
  '--archive': [
    ...DIRECTORY,
    ['ftp://x', 'It must be a directory, or s3://bucket'],
    ['s3://', 'with the name of a bucket'],
    ['s3://Bucket/x', 'with the name of a bucket'],
  ],
  '--clickhouse': [
    ...['', 'host', 'mysql://host/db', 'http://', 'embedded:', 'ftp://me:hunter2@host'].map(
      value => [value, '--clickhouse must be embedded:DIR, or the URL of a server'] as const,
    ),
    ['embedded:~/data', TILDE],
  ],
  '--start-at': RANGE,
  '--end-at': RANGE,
  'verify --start-at': BUCKETS,
  'runs --start-at': BUCKETS,
  'runs --end-at': BUCKETS,
  'failures --start-at': BUCKETS,
  'failures --end-at': BUCKETS,
  '--bucket': BUCKETS,
  '--granularity': choice('day', 'Week'),
  '--probe-cc': [
    ['', 'A value between the commas is empty'],
    ['IT,', 'A value between the commas is empty'],
    ['IT,,US', 'A value between the commas is empty'],
    ['Italy', 'must be a two-letter country code'],
    ['I1', 'must be a two-letter country code'],
    ['IT;DROP', 'must be a two-letter country code'],
  ],
  '--test-name': [
    ['', 'A value between the commas is empty'],
    ['signal,', 'A value between the commas is empty'],
    ['web connectivity', 'must be a test name of letters'],
    ["x' OR 1", 'must be a test name of letters'],
  ],
  '--stages': names('"None"'),
  '--stage': choice('Both'),
  '--state': choice('done'),
  '--workflow-name': names('"None"'),
  '--tasks': names('"None"'),
  '--order': choice('Random'),
  '--reprocess': choice('all'),
  '--output': choice('yaml'),
  '--geoip': DIRECTORY,
  '--root': DIRECTORY,
  '--fingerprints': SOURCE,
  '--http-fingerprints': SOURCE,
  '--threads': whole(1, 128),
  '--transfers': whole(1, 64),
  '--max-active-runs': whole(1, 200),
  '--interval': whole(1, 3600),
  '--limit': whole(1, 100_000),
  '--tail': whole(1, 1_000_000),
  '--class': EMPTY,
  '--uid': EMPTY,
  '--dir': PATH,
  '--output-dir': PATH,
  '--output-file': PATH,
  '--kubeconfig': PATH,
  '--context': EMPTY,
  '--namespace': NAMESPACE,
  '--bucket-date': BUCKETS,
  '--only': choice('geo'),
  '--rules': [
    ['', 'There are versions 2 and 3'],
    ['1', 'There are versions 2 and 3'],
    ['latest', 'There are versions 2 and 3'],
  ],
  'geoip --since': [
    ['', 'Write a day as YYYY-MM-DD'],
    ['2024-01', 'Write a day as YYYY-MM-DD'],
    ['2024-01-01T05', 'Write a day as YYYY-MM-DD'],
  ],
  'logs --since': ['', '10', 'm', '10 m', '1d', '-5m', '10m; rm'].map(value => [value, 'Write a duration such as']),
};

/** Wrong arguments by their name. */
const WRONG_ARGUMENTS: Readonly<Record<string, Wrong>> = {
  name: ['', 'A_B', '../x', 'a/b', 'x'.repeat(254)].map(value => [value, 'A name has lower-case letters']),
  pool: ['', 'A_B', 'a/b'].map(value => [value, 'A name has lower-case letters']),
  statement: [
    ['', 'the statement is empty'],
    ['SELECT 1; SELECT 2', 'these are several statements'],
  ],
  measurement: [
    ['', 'is not a measurement_uid'],
    ['https://example.com/m/x', 'nor the address of a measurement'],
  ],
  command: [
    ['nope', "unknown command 'nope'"],
    ['', "unknown command ''"],
  ],
  shell: [
    ['', 'Allowed choices are'],
    ['tcsh', 'Allowed choices are'],
  ],
};

/** Arguments that may be any text, with the reason. */
const FREE_ARGUMENTS: Readonly<Record<string, string>> = {
  files: 'a file that does not exist is an error of that file, status 1; the others are read',
};

/** Arguments and options without which a command ends before it looks at the others. */
const NEEDED: Readonly<Record<string, readonly string[]>> = {
  sql: ['SELECT 1'],
  explain: ['0120230530d1ede6090eb41dc281857d64d87b1f'],
  transform: ['-'],
  completion: ['bash'],
  sync: ['--start-at', '2024-01-01', '--end-at', '2024-01-02', '--output-dir', 'x'],
};

/** Returns a command with all below it. */
const commandsOf = (command: Command): Command[] => [command, ...command.commands.flatMap(commandsOf)];

interface Leaf {
  readonly program: keyof typeof PROGRAMS;
  readonly path: readonly string[];
  readonly command: Command;
}

function leavesOf(program: Leaf['program'], command: Command, path: readonly string[]): Leaf[] {
  const below = command.commands.flatMap(each => leavesOf(program, each, [...path, each.name()]));
  return below.length > 0 ? below : [{ program, path, command }];
}

const leaves = (
  await Promise.all(
    Object.entries(PROGRAMS).map(async ([name, create]) => leavesOf(name as Leaf['program'], await create('all'), [])),
  )
).flat();

const takesValue = (option: Option) => option.required || option.optional;
const wrongOf = ({ path }: Leaf, { long }: Option) => WRONG[`${path.join(' ')} ${long}`] ?? WRONG[long ?? ''];
const valued = leaves.flatMap(leaf => leaf.command.options.filter(takesValue).map(option => ({ leaf, option })));

const needed = ({ path, command }: Leaf): string[] =>
  NEEDED[path.join(' ')]?.slice() ??
  command.registeredArguments.filter(({ required }) => required).map(() => 'example');

type Row = readonly [program: Leaf['program'], args: readonly string[], message: string];
const rows: Row[] = [
  ...valued.flatMap(({ leaf, option }) =>
    (wrongOf(leaf, option) ?? []).map(([value, message]): Row => {
      // The first of two values is the one that counts for a mandatory option; an empty value needs its own argument.
      const others = needed(leaf).filter((text, at, all) => text !== option.long && all[at - 1] !== option.long);
      return [leaf.program, [...leaf.path, ...others, option.long ?? '', value], message];
    }),
  ),
  ...leaves.flatMap(leaf =>
    leaf.command.options
      .filter(option => !takesValue(option))
      .map((option): Row => [leaf.program, [...leaf.path, ...needed(leaf), `${option.long}=yes`], 'unknown option']),
  ),
  ...leaves.flatMap(leaf =>
    leaf.command.registeredArguments.flatMap(argument =>
      (WRONG_ARGUMENTS[argument.name()] ?? []).map(
        ([value, message]): Row => [leaf.program, [...leaf.path, value], message],
      ),
    ),
  ),
  ...leaves.map((leaf): Row => [leaf.program, [...leaf.path, ...needed(leaf), '--nonsense'], 'unknown option']),
];

let connections = 0;
const server = createServer(socket => {
  connections++;
  socket.destroy();
});
beforeAll(async () => {
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve);
  });
});
afterAll(() => {
  server.close();
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

test('every option that takes a value, and every argument, has wrong values', () => {
  const without = [
    ...valued
      .filter(({ leaf, option }) => !wrongOf(leaf, option))
      .map(({ leaf, option }) => `${leaf.path.join(' ')} ${option.long}`),
    ...leaves.flatMap(({ path, command }) =>
      command.registeredArguments
        .map(argument => argument.name())
        .filter(name => !(name in WRONG_ARGUMENTS) && !(name in FREE_ARGUMENTS))
        .map(name => `${path.join(' ')} <${name}>`),
    ),
  ];
  expect(without).toEqual([]);
});

test('the opposite of an option is rejected beside it', async () => {
  const opposites = leaves.flatMap(leaf =>
    leaf.command.options
      .filter(({ long }) => leaf.command.options.some(other => other.long === long?.replace('--', '--no-')))
      .map(option => ({ leaf, option })),
  );
  expect(opposites.length).toBeGreaterThan(5);
  for (const { leaf, option } of opposites) {
    const flags = [option.long ?? '', (option.long ?? '').replace('--', '--no-')];
    for (const pair of [flags, flags.toReversed()]) {
      const root = await PROGRAMS[leaf.program]('all');
      for (const command of commandsOf(root)) command.configureOutput({ writeErr: () => {}, writeOut: () => {} });
      const line = [...leaf.path, ...needed(leaf), ...pair];
      await expect(root.parseAsync(line, { from: 'user' }), line.join(' ')).rejects.toThrow('contradict each other');
    }
  }
});

test.each(rows)('%s %j is wrong usage, and changes nothing', async (program, args, message) => {
  const { port } = server.address() as AddressInfo;
  vi.stubEnv('CLICKHOUSE_URL', `http://127.0.0.1:${port}`);
  vi.stubEnv('TEMPORAL_ADDRESS', `127.0.0.1:${port}`);
  vi.stubEnv('ARCHIVE_ENDPOINT', `http://127.0.0.1:${port}`);
  vi.stubEnv('KUBECONFIG', '/nowhere');
  const printed: string[] = [];
  const root = await PROGRAMS[program]('all');
  for (const command of commandsOf(root)) {
    command.configureOutput({ writeErr: text => printed.push(text), writeOut: () => {} });
  }
  vi.spyOn(console, 'error').mockImplementation(line => void printed.push(String(line)));
  const files = readdirSync('.');
  const error = await root.parseAsync(args, { from: 'user' }).then(
    () => undefined,
    (wrong: unknown) => wrong,
  );
  if (error !== undefined && !(error instanceof CommanderError)) throw error;
  expect(error?.message ?? `no wrong usage: ${printed.join('')}`).toContain(message);
  expect(printed.join('')).not.toContain('hunter2');
  expect({ connections, files: readdirSync('.') }).toEqual({ connections: 0, files });
});

test('a repeated list adds to the first one, and each command line begins with none', () => {
  const command = new Command().addOption(probeCCOption());
  const parse = (...args: string[]) =>
    new Command().addOption(command.options[0]!).parse(args, { from: 'user' }).opts();
  expect(parse('--probe-cc', 'IT', '--probe-cc', 'us,FR')).toEqual({ probeCc: ['IT', 'us', 'FR'] });
  expect(parse('--probe-cc', 'DE')).toEqual({ probeCc: ['DE'] });
  expect(parse()).toEqual({ probeCc: [] });
});
