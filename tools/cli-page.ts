import type { Command } from 'commander';
import { createProgram } from '../cli/program.ts';
import { PROBLEMS } from '../pipeline/runs/verify.ts';

/** Columns of the help on the page. */
const WIDTH = 110;

/** Returns docs/cli.md: the help of every command as the program prints it, and the rules that all commands share. */
export async function cliPage(): Promise<string> {
  const program = await createProgram('all');
  const problems = Object.entries(PROBLEMS).map(([name, meaning]) => `| \`${name}\` | ${meaning} |`);
  return `# oonipipeline

These commands work without Kubernetes and Temporal. In a clone of the repository, after \`npm ci\`:

<!-- not run: <command> stands for each of the commands below -->
\`\`\`sh
npx oonipipeline <command> --help
\`\`\`

${program.commands.map(command => `* [\`${command.name()}\`](#${command.name()}): ${command.description()}`).join('\n')}

The [settings](settings.md) \`CLICKHOUSE_URL\`, \`ARCHIVE_URL\` and \`GEOIP_DIR\` replace options that are not given. Put a password into a
setting and not on the command line, where other users of the machine can read it. Messages and logs show a URL without its password.

\`--clickhouse embedded:DIR\`, or \`CLICKHOUSE_URL=embedded:DIR\`, runs ClickHouse in the process of the command (npm \`chdb\`) and keeps
its data in DIR. Tables, statements, errors and results are those of a server. One process at a time can use a directory. When a
command is killed, its directory is in the state of a server that lost power, and the next command can use it.

A command ends with status 0 when it succeeded, with 1 when it failed (standard error has the reason), and with 2 when the command line is
wrong. When the reader of its output ends early, such as \`head\`, the command ends without an error message.

Data that probes send can hold control characters. On a terminal, each command shows them in a form such as \`\\x1b\`. Into a file or a pipe,
\`sql -o csv\`, \`-o tsv\` and \`-o json\`, and each JSON output, write the data unchanged.
${program.commands.map(section).join('')}
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

function section(command: Command): string {
  let help = '';
  command.configureHelp({ helpWidth: WIDTH }).configureOutput({
    writeOut: text => {
      help += text;
    },
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return `\n## ${command.name()}\n\n<!-- not run: "npm run generate" writes the help of the program here -->\n\`\`\`text\n${help.trim()}\n\`\`\`\n`;
}
