import type { Command } from 'commander';

/** Makes a command reject an option together with its opposite, such as --kubernetes and --no-kubernetes. Otherwise the last one would count. */
export function refuseContradictions(command: Command): void {
  for (const opposite of command.options.filter(option => option.negate)) {
    const positive = opposite.long?.replace('--no-', '--');
    const option = command.options.find(({ long }) => long === positive);
    if (!option) continue;
    const given = new Set<string>();
    const note = (own: string, other: string) => {
      given.add(own);
      if (given.has(other))
        command.error(`error: ${option.long} and ${opposite.long} contradict each other: give one of the two`);
    };
    command.on(`option:${option.name()}`, () => note(option.name(), opposite.name()));
    command.on(`option:${opposite.name()}`, () => note(opposite.name(), option.name()));
  }
}
