import type { Command } from 'commander';
import { createKubectlProgram } from '../cli/kubectl/program.ts';
import { createProgram } from '../cli/program.ts';
import { PROBLEMS } from '../pipeline/runs/verify.ts';
import { CLUSTER_EXAMPLES, type CliExample, EMBEDDED_EXAMPLES, SERVER_EXAMPLES } from './cli-examples.ts';

/** Columns of the help on the page. */
const WIDTH = 110;

/** Returns docs/cli.md: the help of every command as the program prints it, and the rules that all commands share. */
export async function cliPage(): Promise<string> {
  const program = await createProgram('all');
  const kubectl = await createKubectlProgram('all');
  const problems = Object.entries(PROBLEMS).map(([name, meaning]) => `| \`${name}\` | ${meaning} |`);
  return `# oonipipeline

\`run\` and the commands that look at ClickHouse or the archive work without Kubernetes and Temporal. \`schedule\`, \`backfill\`, \`startworkers\`,
\`status\` and \`clear-schedules\` need Temporal; \`npm start -- --no-kubernetes\` starts it with its UI, and ClickHouse.
[\`kubectl ooni\`](#kubectl-ooni) is for a cluster with the operator. In a clone of the repository, after \`npm ci\`:

<!-- not run: <command> stands for each of the commands below -->
\`\`\`sh
npx oonipipeline <command> --help
\`\`\`

For other machines, or to run the commands from any directory, make an npm package of the clone and install it. It brings the Node that it
needs; \`embedded:\` also needs the npm package \`chdb\`:

<!-- not run: test/stack/package.test.ts does this -->
\`\`\`sh
npm pack
npm install --global ./ooni-pipeline-*.tgz chdb@3.4.0
oonipipeline --help
kubectl ooni --help
\`\`\`

${program.commands.map(command => `* [\`${command.name()}\`](#${command.name()}): ${command.description()}`).join('\n')}

The [settings](settings.md) \`CLICKHOUSE_URL\`, \`ARCHIVE_URL\` and \`GEOIP_DIR\` replace options that are not given. Put a password into a
setting and not on the command line, where other users of the machine can read it. Messages and logs show a URL without its password.

\`--clickhouse embedded:DIR\`, or \`CLICKHOUSE_URL=embedded:DIR\`, runs ClickHouse in the process of the command (npm \`chdb\`) and keeps
its data in DIR. Tables, statements, errors and results are those of a server. One process at a time can use a directory. When a
command is killed, its directory is in the state of a server that lost power, and the next command can use it.

A command ends with status 0 when it succeeded, with 1 when it failed (standard error has the reason), and with 2 when the command line is
wrong. When the reader of its output ends early, such as \`head\`, the command ends without an error message.

A range begins with \`--start-at\`, included, and ends before \`--end-at\`, which is not included: one day is \`--start-at 2024-01-01 --end-at
2024-01-02\`. Days and hours are of the upload, in UTC. Commas separate the items of a list, or the option is repeated;
without the option, everything is selected. The case of countries and tests, and underscores in tests, do not matter.

Commands that delete rows or schedules ask first; \`--yes\` answers, and without a terminal it is required. \`--dry-run\` changes nothing.

Tables are for a terminal; elsewhere, and with \`-o json\`, each row is a JSON document on its own line. Progress is a bar on a terminal,
and elsewhere JSON lines on standard error. \`NO_COLOR=1\` turns colours off, \`FORCE_COLOR=1\` turns them on without a terminal.

Data that probes send can hold control characters. On a terminal, each command shows them in a form such as \`\\x1b\`. Into a file or a pipe,
\`sql -o csv\`, \`-o tsv\` and \`-o json\`, and each JSON output, write the data unchanged.
${program.commands.map(command => section(command)).join('')}
## kubectl ooni

A plugin of kubectl for the operator in a cluster. kubectl finds the program \`kubectl-ooni\` on PATH.

![kubectl ooni status on a terminal: servers, pools, schedules, backfills with one that failed, and what is not as desired.](images/kubectl-ooni-status.png)

![kubectl ooni backfill grid: the days of a year, one line a month.](images/kubectl-ooni-grid.png)

![kubectl ooni doctor: thirteen checks, two unknown with their remedy.](images/kubectl-ooni-doctor.png)

${kubectl.commands.map(command => `* \`${command.name()}\`: ${command.description()}`).join('\n')}
${kubectl.commands.flatMap(command => (command.commands.length > 0 ? command.commands.map(each => section(each, `kubectl ooni ${command.name()} `)) : [section(command, 'kubectl ooni ')])).join('')}
## Problems that verify reports

With \`-o json\` the output is one document, \`{"ok": true, "buckets": [{"bucket", "filter", "generation", "files", "measurements",
"rows", "problems"}]}\`. A problem has a name and a message, and, when they are known, the \`key\` of the object and the \`table\`.

| Problem | Meaning |
|---|---|
${problems.join('\n')}

To correct a bucket, run it again: \`oonipipeline run --reprocess All\` with its day as the range. A repeated run replaces the rows of earlier
runs. A bucket that fails again stays \`NotCompleted\`; the message and \`pipeline_failures\` have the reason.
`;
}

function section(command: Command, prefix = ''): string {
  let help = '';
  command.configureHelp({ helpWidth: WIDTH }).configureOutput({
    writeOut: text => {
      help += text;
    },
    getOutHasColors: () => false,
  });
  command.outputHelp();
  const name = `${prefix}${command.name()}`;
  return `\n## ${name}\n\n<!-- not run: "npm run generate" writes the help of the program here -->\n\`\`\`text\n${help.trim()}\n\`\`\`\n${example(name)}`;
}

/** Examples with the conditions that hold for all of a group, and the test that runs them. */
const EXAMPLES = [
  ['With `CLICKHOUSE_URL=embedded:data`', 'test/integration/cli-examples.test.ts', '', EMBEDDED_EXAMPLES],
  ['With the servers of `npm start -- --no-kubernetes`', 'test/stack/quick-start.test.ts', '', SERVER_EXAMPLES],
  ['With the cluster of `npm start`', 'test/stack/commands.test.ts', 'kubectl ooni ', CLUSTER_EXAMPLES],
] as const;

/** Returns an example of a command with its output. Throws if there is none. */
function example(name: string): string {
  for (const [condition, test, prefix, examples] of EXAMPLES) {
    const found = name.startsWith(prefix) ? (examples[name.slice(prefix.length)] as CliExample | undefined) : undefined;
    if (!found) continue;
    return `\n${condition}:\n\n<!-- not run: ${test} runs it -->\n\`\`\`text\n$ ${found.line}\n${found.output}\n\`\`\`\n`;
  }
  throw new Error(`tools/cli-examples.ts has no example of ${name}`);
}
