import { SingleBar } from 'cli-progress';

/** What is shown while buckets are run. */
export interface Progress {
  read(measurements: number): void;
  bucket(): void;
  /** Prints a line above. */
  say(line: string): void;
  stop(): void;
}

/** A bar on a terminal, on standard error; elsewhere only what is said. */
export function startProgress(buckets: number): Progress {
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  if (!process.stderr.isTTY || buckets === 0) {
    return { read: () => {}, bucket: () => {}, say, stop: () => {} };
  }
  const bar = new SingleBar({
    format:
      '{bar} {value}/{total} buckets, {measurements} measurements, {duration_formatted} (about {eta_formatted} left)',
    stream: process.stderr,
    barsize: 30,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    // Ctrl-C is ours: what is being worked on is recorded first.
    gracefulExit: false,
    etaBuffer: 50,
  });
  bar.start(buckets, 0, { measurements: '0' });
  return {
    read: measurements => bar.update({ measurements: measurements.toLocaleString('en') }),
    bucket: () => bar.increment(),
    say: line => {
      process.stderr.write(`\r\x1b[K${line}\n`);
      bar.updateETA();
    },
    stop: () => bar.stop(),
  };
}
