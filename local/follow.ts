import { SingleBar } from 'cli-progress';
import type { Backfill } from '../crds/backfill.ts';
import { BACKFILLS } from '../operator/controllers/resources.ts';
import { podProblem } from '../operator/controllers/worker-pool/pod-problem.ts';
import { PODS, type Pod } from '../operator/kube/builtin.ts';
import { Cache } from '../operator/kube/cache.ts';
import type { Client } from '../operator/kube/client.ts';
import type { Instruments } from '../operator/kube/instruments.ts';
import { WORK_NAMESPACE } from '../operator/manifests.ts';
import { FINAL_PHASES } from '../worker/contract.ts';
import type { Terminal } from './terminal.ts';

/** Interval of the checks for pods that block the backfill, in milliseconds. */
const POD_CHECK_INTERVAL = 5_000;
/** Number of checks without a pod that is starting after which a missing worker is a problem. */
const SETTLED = 4;

export interface FollowContext {
  readonly client: Client;
  readonly instruments: Instruments;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  /** Called after each reported problem. */
  readonly onProblem: () => void;
}

/**
 * Follows Backfills to their end, with a progress bar on a terminal and a line for each step elsewhere. Does not wait for a Backfill that
 * is suspended, stalled or deleted meanwhile. Reports each problem of a pod or resource once. Resolves with the Backfills as they ended;
 * rejects when the signal aborts.
 */
export async function followBackfills(
  { client, instruments, terminal, signal, onProblem }: FollowContext,
  names: readonly string[],
): Promise<Backfill[]> {
  const watching = new AbortController();
  const stop = () => watching.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  const cache = new Cache(client, BACKFILLS, { instruments, namespaces: [WORK_NAMESPACE] });
  const running = cache.run(watching.signal);
  const view = new View(terminal);
  const reported = new Set<string>();
  let before: readonly string[] = [];
  const report = (problem: string) => {
    if (reported.has(problem)) return;
    reported.add(problem);
    view.note(problem);
    onProblem();
  };
  /** Number of checks since a pod was last starting, such as the first worker. A worker that is ready has not answered the operator yet. */
  let settled = 0;
  let check = () => {};
  const podCheck = setInterval(() => {
    observePods(client, watching.signal).then(
      ({ problems: found, isStarting }) => {
        settled = isStarting ? 0 : settled + 1;
        check();
        // A problem that is over by the next check is not reported.
        for (const problem of found) if (before.includes(problem)) report(problem);
        before = found;
      },
      (error: Error) => {
        if (!watching.signal.aborted) report(error.message);
      },
    );
  }, POD_CHECK_INTERVAL);
  try {
    await cache.whenSynced(watching.signal);
    return await new Promise<Backfill[]>((resolve, reject) => {
      watching.signal.addEventListener('abort', () => reject(watching.signal.reason), { once: true });
      const seen = new Set<string>();
      check = () => {
        const all = [...cache.list()].filter(({ metadata }) => names.includes(metadata.name));
        for (const problem of all.flatMap(each => problemsOf(each, settled < SETTLED))) report(problem);
        view.show(all);
        for (const { metadata } of all) seen.add(metadata.name);
        // A Backfill that was seen before and is missing now was deleted meanwhile.
        const there = names.filter(name => all.some(({ metadata }) => metadata.name === name) || !seen.has(name));
        if (all.length === there.length && all.every(isSettled)) resolve(all);
      };
      cache.onChange(check);
      check();
    });
  } finally {
    clearInterval(podCheck);
    view.end();
    signal.removeEventListener('abort', stop);
    watching.abort();
    await running;
  }
}

/** Returns what keeps a Backfill from progressing, as sentences. While pods are starting, a missing worker is not a problem. */
export function problemsOf({ metadata, status }: Backfill, isStarting: boolean): string[] {
  const stalled = status?.conditions?.find(({ type, status: is }) => type === 'Stalled' && is === 'True');
  const { reason, message } = status?.blockedBy ?? {};
  const isBlocked = reason !== undefined && !(reason === 'NoWorker' && isStarting);
  return [
    ...(stalled ? [`backfill/${metadata.name} needs a change: ${stalled.message}`] : []),
    ...(isBlocked ? [`backfill/${metadata.name} is blocked: ${reason}: ${message}`] : []),
  ];
}

/** Returns whether the Backfill has ended for its newest spec. */
function isOver({ metadata, status }: Backfill): boolean {
  return status?.observedGeneration === metadata.generation && FINAL_PHASES.includes(status?.phase as never);
}

/** Returns whether the Backfill has ended, or waits for a change by the user or for its first bucket to complete. */
function isSettled(backfill: Backfill): boolean {
  const { spec, status } = backfill;
  const waits = status?.conditions?.some(
    ({ type, status: is, reason }) => (type === 'Stalled' && is === 'True') || reason === 'RangeIncomplete',
  );
  return isOver(backfill) || waits === true || spec.suspend === true;
}

/** Lists the problems of the pods that do not run, and returns whether a pod is starting without a problem. */
async function observePods(
  client: Client,
  signal: AbortSignal,
): Promise<{ readonly problems: string[]; readonly isStarting: boolean }> {
  const pods = await client.list(PODS, { signal });
  const isReady = ({ status }: Pod) =>
    status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
  return {
    problems: pods.flatMap(pod => podProblem(pod) ?? []),
    isStarting: pods.some(pod => !pod.metadata.deletionTimestamp && !isReady(pod) && podProblem(pod) === undefined),
  };
}

class View {
  readonly #terminal: Terminal;
  #bar: SingleBar | undefined;
  #shown = '';

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(backfills: readonly Backfill[]): void {
    if (backfills.length === 0) return;
    const sum = (pick: (backfill: Backfill) => number | undefined) =>
      backfills.reduce((total, backfill) => total + (pick(backfill) ?? 0), 0);
    const total = sum(({ status }) => status?.progress?.total);
    const failed = sum(({ status }) => status?.progress?.failed);
    const done = failed + sum(({ status }) => (status?.progress?.succeeded ?? 0) + (status?.progress?.skipped ?? 0));
    const state = {
      name: backfills.map(({ metadata }) => `backfill/${metadata.name}`).join(', '),
      phase: [...new Set(backfills.map(({ status }) => status?.phase ?? 'Pending'))].join(', '),
      measurements: sum(({ status }) => status?.measurements),
      failed: failed > 0 ? `, ${failed} failed` : '',
    };
    if (this.#terminal.interactive) {
      // Before the plan exists, there is no total to measure progress by.
      if (total === 0) return;
      if (!this.#bar) {
        this.#bar = new SingleBar({
          format: '{name} {bar} {value}/{total} buckets{failed}, {measurements} measurements  {phase}',
          barsize: 24,
          hideCursor: true,
          stream: process.stderr,
        });
        this.#bar.start(total, done, state);
      }
      this.#bar.setTotal(total);
      this.#bar.update(done, state);
      return;
    }
    const line = `${state.name}: ${state.phase}, ${done}/${total} buckets${state.failed}, ${state.measurements} measurements`;
    if (line !== this.#shown) this.#terminal.print(line);
    this.#shown = line;
  }

  /** Prints a line above the bar. */
  note(text: string): void {
    if (this.#bar) process.stderr.write('\r\x1b[K');
    this.#terminal.print(text);
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
