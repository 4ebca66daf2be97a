import { SingleBar } from 'cli-progress';

/**
 * Creates a progress bar on standard error, which does not start yet. `format` is a template of cli-progress, such as
 * `{bar} {value}/{total} buckets`; `size` is the length of the bar in characters.
 */
export function progressBar(format: string, size = 30): SingleBar {
  return new SingleBar({
    format,
    stream: process.stderr,
    barsize: size,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    // The commands handle Ctrl-C: they first record the state of their work.
    gracefulExit: false,
    etaBuffer: 50,
  });
}
