/** The user pressed Ctrl-C. */
export class Interrupted extends Error {
  override name = 'Interrupted';
}

/** Milliseconds after which a second signal counts as a second request. One Ctrl-C may arrive several times, also through npm. */
const SECOND_SIGNAL_AFTER = 1_000;

/** Aborts `stopping` with Interrupted at the first signal to this process. At a second one it calls `onSecond`, to wait for nothing. */
export function stopAtSignals(stopping: AbortController, onSecond: () => void): void {
  let interrupted: number | undefined;
  const interrupt = () => {
    stopping.abort(new Interrupted());
    interrupted ??= performance.now();
    if (performance.now() - interrupted > SECOND_SIGNAL_AFTER) onSecond();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'disconnect'] as const) process.on(signal, interrupt);
  process.on('message', message => message === 'SIGINT' && interrupt());
}
