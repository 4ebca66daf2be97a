import { canRewrite } from '../colour.ts';
import { progressBar } from '../progress-bar.ts';

/** Progress display while buckets run. */
export interface Progress {
  read(measurements: number): void;
  bucket(): void;
  /** Prints a line above the bar. */
  line(text: string): void;
  stop(): void;
}

/** Shows a bar on standard error if it is a terminal that can rewrite lines; otherwise only the printed lines. */
export function startProgress(buckets: number): Progress {
  const line = (text: string) => void process.stderr.write(`${text}\n`);
  if (!canRewrite(process.stderr) || buckets === 0) {
    return { read: () => {}, bucket: () => {}, line, stop: () => {} };
  }
  const bar = progressBar(
    '{bar} {value}/{total} buckets, {measurements} measurements, {duration_formatted} (about {eta_formatted} left)',
  );
  bar.start(buckets, 0, { measurements: '0' });
  return {
    read: measurements => bar.update({ measurements: measurements.toLocaleString('en') }),
    bucket: () => bar.increment(),
    line: text => {
      process.stderr.write(`\r\x1b[K${text}\n`);
      bar.updateETA();
    },
    stop: () => bar.stop(),
  };
}
