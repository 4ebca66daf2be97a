import type { Command, Option } from 'commander';

/** Shells for which there are completion scripts. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** Returns the completion script of a program: its commands, their options, and the values of options with a choice. */
export function completionScript(program: Command, shell: Shell): string {
  switch (shell) {
    case 'bash':
      return bash(program);
    case 'zsh':
      return zsh(program);
    case 'fish':
      return fish(program);
  }
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
const flagsOf = ({ short, long }: Option) => [short, long].filter(flag => flag !== undefined);
const optionsOf = (command: Command) => command.createHelp().visibleOptions(command);
const choicesOf = (command: Command) =>
  optionsOf(command).flatMap(option => (option.argChoices ? [{ option, choices: option.argChoices }] : []));
const takesValue = (option: Option) => option.required || option.optional;
/** Arguments of a command with a choice, such as the shell of `completion`. */
const argumentChoices = (command: Command) => command.registeredArguments.flatMap(each => each.argChoices ?? []);

function bash(program: Command): string {
  const name = program.name();
  const words = (command: Command) => [...optionsOf(command).flatMap(flagsOf), ...argumentChoices(command)].join(' ');
  const commands = program.commands.map(command => command.name());
  const values = program.commands.flatMap(command => [
    ...choicesOf(command).map(
      ({ option, choices }) =>
        `    ${flagsOf(option)
          .map(flag => quoted(`${command.name()} ${flag}`))
          .join(' | ')}) words=${quoted(choices.join(' '))} ;;`,
    ),
    // Without words, bash completes the names of files.
    ...optionsOf(command)
      .filter(option => takesValue(option) && !option.argChoices)
      .map(
        option =>
          `    ${flagsOf(option)
            .map(flag => quoted(`${command.name()} ${flag}`))
            .join(' | ')}) return ;;`,
      ),
    `    ${quoted(`${command.name()} `)}*) words=${quoted(words(command))} ;;`,
  ]);
  return `# Completion of ${name} for bash: source <(${name} completion bash)
_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} command= word words
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
    case $word in ${commands.join(' | ')}) command=$word && break ;; esac
  done
  case "$command $previous" in
${values.join('\n')}
    *) words=${quoted(`${commands.join(' ')} ${words(program)}`)} ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _${name} ${name}
`;
}

function zsh(program: Command): string {
  const name = program.name();
  // A colon separates the parts of a specification, and brackets enclose its description.
  const plain = (text: string) => text.replaceAll(/[:[\]\\]/g, sign => `\\${sign}`);
  const specification = (option: Option) => {
    const value = !takesValue(option)
      ? ''
      : `:value:${option.argChoices ? `(${option.argChoices.join(' ')})` : '_files'}`;
    const repeated = option.variadic ? '*' : '';
    return flagsOf(option).map(flag => quoted(`${repeated}${flag}[${plain(option.description)}]${value}`));
  };
  const rest = (command: Command) => {
    const choices = argumentChoices(command);
    return choices.length > 0 ? quoted(`1:argument:(${choices.join(' ')})`) : quoted('*:file:_files');
  };
  const listed = program.commands.map(command => quoted(`${command.name()}:${plain(command.description())}`));
  const commands = program.commands.map(
    command => `    ${command.name()})
      _arguments \\
        ${[...optionsOf(command).flatMap(specification), rest(command)].join(' \\\n        ')} ;;`,
  );
  return `#compdef ${name}
# Completion of ${name} for zsh: source <(${name} completion zsh), after compinit
_${name}() {
  local state
  local -a commands=(
    ${listed.join('\n    ')}
  )
  _arguments -C \\
    ${[...optionsOf(program).flatMap(specification), quoted('1:command:->command'), quoted('*::argument:->argument')].join(' \\\n    ')}
  case $state in
    command) _describe command commands; return ;;
    argument) ;;
    *) return ;;
  esac
  case $words[1] in
${commands.join('\n')}
  esac
}
compdef _${name} ${name}
`;
}

function fish(program: Command): string {
  const name = program.name();
  const line = (condition: string, ...parts: readonly string[]) =>
    ['complete', '-c', name, '-n', quoted(condition), ...parts].join(' ');
  const option = (each: Option) => {
    const parts = [
      ...(each.long ? ['-l', each.long.slice(2)] : []),
      ...(each.short ? ['-s', each.short.slice(1)] : []),
      '-d',
      quoted(each.description),
    ];
    if (each.argChoices) return [...parts, '-x', '-a', quoted(each.argChoices.join(' '))];
    return takesValue(each) ? [...parts, '-r', '-F'] : parts;
  };
  const first = '__fish_use_subcommand';
  return `# Completion of ${name} for fish: ${name} completion fish | source
${[
  `complete -c ${name} -f`,
  ...optionsOf(program).map(each => line(first, ...option(each))),
  ...program.commands.map(command => line(first, '-a', command.name(), '-d', quoted(command.description()))),
  ...program.commands.flatMap(command => {
    const condition = `__fish_seen_subcommand_from ${command.name()}`;
    const choices = argumentChoices(command);
    return [
      ...(choices.length > 0 ? [line(condition, '-a', quoted(choices.join(' ')))] : []),
      ...optionsOf(command).map(each => line(condition, ...option(each))),
    ];
  }),
].join('\n')}
`;
}
