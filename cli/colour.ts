/** Colours of a terminal, by the meaning of what they mark. */
export interface Palette {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly doubtful: (text: string) => string;
  readonly active: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly strong: (text: string) => string;
}

const plain = (text: string) => text;
export const PLAIN: Palette = {
  good: plain,
  bad: plain,
  doubtful: plain,
  active: plain,
  faint: plain,
  strong: plain,
};

const sgr = (on: number, off: number) => (text: string) => `\x1b[${on}m${text}\x1b[${off}m`;
const COLOURED: Palette = {
  good: sgr(32, 39),
  bad: sgr(31, 39),
  doubtful: sgr(33, 39),
  active: sgr(36, 39),
  faint: sgr(2, 22),
  strong: sgr(1, 22),
};

/** Returns whether a stream is a terminal on which a line can be written again. `TERM=dumb` names one that has only lines, such as an editor's. */
export function canRewrite(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  return stream.isTTY === true && env.TERM !== 'dumb';
}

/**
 * Returns the colours for a stream: none if NO_COLOR is set to any text (no-color.org), or if the stream is not a terminal. FORCE_COLOR
 * turns them on for a stream that is not a terminal.
 */
export function paletteFor(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>> = process.env,
): Palette {
  if (env.NO_COLOR || env.TERM === 'dumb') return PLAIN;
  return stream.isTTY || (env.FORCE_COLOR && env.FORCE_COLOR !== '0') ? COLOURED : PLAIN;
}
