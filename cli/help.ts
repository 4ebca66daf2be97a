import { wrap } from './wrap.ts';

/** The exit statuses of a command that has no special ones. */
export const EXIT_STATUS =
  'Exit status: 0 done; 1 it could not be done, and standard error has the reason; 2 wrong usage.';

/**
 * Breaks the paragraphs of a help text that are wider than the terminal at words. Indented lines are commands and options, which stay as they
 * are.
 */
export function fitHelp(text: string, width: number): string {
  const isIndented = (line: string) => line === '' || line.startsWith(' ');
  const lines: string[] = [];
  let paragraph: string[] = [];
  const end = () => {
    if (paragraph.some(line => line.length > width)) lines.push(...wrap(paragraph.join(' '), width));
    else lines.push(...paragraph);
    paragraph = [];
  };
  for (const line of text.split('\n')) {
    if (!isIndented(line)) {
      paragraph.push(line);
      continue;
    }
    end();
    lines.push(line);
  }
  end();
  return lines.join('\n');
}
