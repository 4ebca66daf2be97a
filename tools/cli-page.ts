import type { Command } from 'commander';
import { createProgram } from '../cli/program.ts';
import { PROBLEMS } from '../pipeline/runs/verify.ts';

/** Columns of the help on the page. */
const WIDTH = 110;

/** docs/cli.md: the help of every command, as the program prints it, and what it does not tell. */
export function cliPage(): string {
  const program = createProgram();
  const problems = Object.entries(PROBLEMS).map(([name, meaning]) => `| \`${name}\` | ${meaning} |`);
  return `# oonipipeline

The commands that work without Kubernetes and Temporal. In a clone of the repository, after \`npm ci\`:

<!-- not run: <command> stands for each of the commands below -->
\`\`\`sh
npx oonipipeline <command> --help
\`\`\`

${program.commands.map(command => `* [\`${command.name()}\`](#${command.name()}): ${command.description()}`).join('\n')}

What several commands need comes from the [settings](settings.md) unless an option says otherwise: \`CLICKHOUSE_URL\`,
\`ARCHIVE_URL\`, \`GEOIP_DIR\`. A password belongs there, because other users of a machine see the options of a running command.

\`--clickhouse embedded:DIR\`, or \`CLICKHOUSE_URL=embedded:DIR\`, is ClickHouse in the process of the command (npm \`chdb\`), with
its data in DIR. It behaves as a server does: the same tables, statements, errors and results. One command at a time may have the
directory; one that was killed leaves it as usable as a server that lost its power.

Every command ends with status 0 when it did what was asked for, 1 when something could not be done, which standard error
tells, and 2 when the command line is wrong.
${program.commands.map(section).join('')}
## What verify may find

With \`-o json\` the output is one document, \`{"ok": true, "buckets": [{"bucket", "filter", "generation", "files", "measurements",
"rows", "problems"}]}\`. A problem has a name, a message, and where they are known the \`key\` of the object and the \`table\`.

| Problem | Meaning |
|---|---|
${problems.join('\n')}

Running the bucket again (\`oonipipeline run --reprocess All\` with its day as the range) puts them right, because a repeat
replaces; a bucket that fails again stays \`NotCompleted\`, and why stands in the message and in \`pipeline_failures\`.
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
