import type { SingleBar } from 'cli-progress';
import { canRewrite, paletteFor } from '../colour.ts';
import { printableLine } from '../printable.ts';
import { progressBar } from '../progress-bar.ts';
import { onStopSignal } from '../stop-signals.ts';
import { columnsOf } from '../width.ts';
import { type BackfillView, follow } from './backfill.ts';
import type { Target } from './target.ts';

/**
 * Shows a backfill until it has ended: a bar on a terminal, otherwise a JSON line on standard error at each change. Returns the exit status.
 * Ctrl-C ends the display, not the backfill.
 */
export async function showBackfill(target: Target, name: string): Promise<number> {
  const stop = new AbortController();
  const release = onStopSignal(() => stop.abort());
  const display = canRewrite(process.stderr) ? barDisplay() : lineDisplay();
  let last: BackfillView | undefined;
  try {
    for await (const view of follow(target, name, stop.signal)) {
      display.show(view);
      last = view;
    }
  } finally {
    display.end();
    release();
  }
  if (!last?.ended) {
    console.error(`${name} goes on; the display has ended`);
    return 1;
  }
  const { bad, good } = paletteFor(process.stderr);
  for (const { bucket, reason, message } of last.failures) {
    console.error(printableLine(`${bucket === '' ? name : bucket}: ${reason}: ${message}`));
  }
  if (last.warning !== undefined) console.error(printableLine(`${name}: ${last.warning}`));
  console.error(`${name}: ${(last.phase === 'Complete' ? good : bad)(last.phase)}`);
  return last.phase === 'Complete' ? 0 : 1;
}

interface Display {
  show(view: BackfillView): void;
  end(): void;
}

function lineDisplay(): Display {
  let before = '';
  return {
    show: view => {
      const line = JSON.stringify(view);
      if (line !== before) console.error(line);
      before = line;
    },
    end: () => {},
  };
}

function barDisplay(): Display {
  let bar: SingleBar | undefined;
  return {
    show: ({ phase, progress, measurements = 0, blocked, unknown }) => {
      const reason = unknown ?? blocked;
      if (!progress) {
        const cause = reason ? `: ${printableLine(reason)}` : '';
        process.stderr.write(`\r\x1b[K${phase}${cause}`.slice(0, columnsOf(process.stderr)));
        return;
      }
      const { total, succeeded, failed, skipped, active } = progress;
      const state = {
        phase: unknown === undefined ? phase : `${phase} when last seen`,
        failed,
        active,
        measurements: measurements.toLocaleString('en'),
        reason: reason ? `, ${printableLine(reason).slice(0, 60)}` : '',
      };
      if (!bar) {
        bar = progressBar(
          '{bar} {value}/{total} buckets, {failed} failed, {active} active, {measurements} measurements, {phase}{reason}',
          24,
        );
        process.stderr.write('\r\x1b[K');
        bar.start(total, 0, state);
      }
      bar.setTotal(total);
      bar.update(succeeded + failed + skipped, state);
    },
    end: () => {
      if (bar) bar.stop();
      else process.stderr.write('\r\x1b[K');
    },
  };
}
