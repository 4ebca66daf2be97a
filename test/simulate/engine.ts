/** Seconds of one step. */
const STEP = 5;
/** Seconds from the decision to add a pod until it takes tasks. */
const POD_START = 30;
/** Seconds over which Temporal averages its rates. */
const RATE_WINDOW = 30;

/** A group of equal tasks that arrive at once. */
export interface Arrival {
  /** Seconds since the start of the simulation. */
  readonly at: number;
  readonly tasks: number;
  /** Seconds of work of one task. */
  readonly duration: number;
}

export interface Shape {
  readonly name: string;
  readonly arrivals: readonly Arrival[];
  /** Seconds. */
  readonly length: number;
  /** Slots of one pod. */
  readonly slots: number;
  /** Number of equal pools that serve the queue. */
  readonly pools: number;
  /** Whether the arrivals are the buckets of one backfill: it has active runs until the last one is done. Otherwise each arrival is a run. */
  readonly backfill?: boolean;
  /** Intervals in which nobody can read the load, as seconds since the start. */
  readonly blind?: readonly (readonly [from: number, until: number])[];
}

/** Load of a pool at an instant. */
export interface Seen {
  /** Seconds since the start. */
  readonly now: number;
  /** False: Temporal does not answer. */
  readonly known: boolean;
  /** Whether a run was active when that was last known. */
  readonly activeRuns: boolean;
  readonly backlog: number;
  readonly addRate: number;
  readonly dispatchRate: number;
  readonly ownSlots: number;
  readonly allSlots: number;
  readonly busyPods: number;
  /** Pods of this pool, ready or starting. */
  readonly current: number;
}

/** Decides the number of pods of one pool. Each pool has its own. */
export interface Scaler {
  /** Seconds between two decisions. */
  readonly every: number;
  /** Whether idle pods are removed before busy ones. */
  readonly idleFirst: boolean;
  decide(seen: Seen): number;
}

interface Pod {
  readonly readyAt: number;
  /** Remaining seconds of each running task. */
  running: number[];
}

/** One line of the result for each step. */
export interface Sample {
  readonly now: number;
  readonly pods: number;
  readonly backlog: number;
}

export interface Outcome {
  readonly samples: readonly Sample[];
  /** Hours of all pods together. */
  readonly podHours: number;
  /** Mean and greatest seconds from the arrival of a group until its last task ended. */
  readonly meanCompletion: number;
  readonly longestCompletion: number;
  /** Pods that were removed while they had a task, whose work since its checkpoint is lost. */
  readonly killedBusy: number;
  readonly unfinished: number;
}

/** Simulates a shape of load with one scaler for each pool. A task of a removed pod waits again, and begins anew. */
export function simulate(shape: Shape, scalerOf: () => Scaler): Outcome {
  const pools = Array.from({ length: shape.pools }, () => ({ scaler: scalerOf(), pods: [] as Pod[], nextAt: 0 }));
  const groups = shape.arrivals.map(arrival => ({ ...arrival, left: arrival.tasks, waiting: 0, endedAt: Number.NaN }));
  const taskGroup = new WeakMap<number[], number[]>();
  const rates = { added: [] as [number, number][], dispatched: [] as [number, number][] };
  const samples: Sample[] = [];
  let podSeconds = 0;
  let killedBusy = 0;
  let activeRuns = false;
  const hasActiveRuns = (now: number) =>
    groups.some(({ at }) => at <= now) && groups.some(({ at, left }) => left > 0 && (shape.backfill || at <= now));
  const backlog = () => groups.reduce((sum, { waiting }) => sum + waiting, 0);
  const rate = (list: [number, number][], now: number) => {
    while (list[0] && list[0][0] <= now - RATE_WINDOW) list.shift();
    return list.reduce((sum, [, count]) => sum + count, 0) / RATE_WINDOW;
  };
  for (let now = 0; now < shape.length; now += STEP) {
    for (const group of groups) {
      if (group.at < now || group.at >= now + STEP) continue;
      group.waiting += group.tasks;
      rates.added.push([now, group.tasks]);
    }
    // Work of this step.
    for (const pool of pools) {
      for (const pod of pool.pods) {
        const owners = taskGroup.get(pod.running) ?? [];
        const kept: number[] = [];
        const keptOwners: number[] = [];
        pod.running.forEach((left, index) => {
          const owner = groups[owners[index] ?? 0];
          if (left > STEP) {
            kept.push(left - STEP);
            keptOwners.push(owners[index] ?? 0);
          } else if (owner && --owner.left === 0) owner.endedAt = now + STEP;
        });
        pod.running = kept;
        taskGroup.set(kept, keptOwners);
      }
    }
    // Free slots take the tasks that wait longest.
    let dispatched = 0;
    for (const pool of pools) {
      for (const pod of pool.pods) {
        if (pod.readyAt > now) continue;
        const owners = taskGroup.get(pod.running) ?? [];
        while (pod.running.length < shape.slots) {
          const index = groups.findIndex(({ waiting }) => waiting > 0);
          const group = groups[index];
          if (!group) break;
          group.waiting--;
          dispatched++;
          pod.running.push(group.duration);
          owners.push(index);
        }
        taskGroup.set(pod.running, owners);
      }
    }
    rates.dispatched.push([now, dispatched]);
    const known = !shape.blind?.some(([from, until]) => now >= from && now < until);
    if (known) activeRuns = hasActiveRuns(now);
    const busy = (pods: readonly Pod[]) => pods.reduce((sum, { running }) => sum + running.length, 0);
    const allSlots = pools.reduce((sum, { pods }) => sum + busy(pods), 0);
    for (const pool of pools) {
      if (now < pool.nextAt) continue;
      pool.nextAt = now + pool.scaler.every;
      const desired = pool.scaler.decide({
        ...{
          now,
          known,
          activeRuns,
          backlog: backlog(),
          addRate: rate(rates.added, now),
          dispatchRate: rate(rates.dispatched, now),
        },
        ...{ ownSlots: busy(pool.pods), allSlots, current: pool.pods.length },
        busyPods: pool.pods.filter(({ running }) => running.length > 0).length,
      });
      while (pool.pods.length < desired) pool.pods.push({ readyAt: now + POD_START, running: [] });
      if (pool.pods.length <= desired) continue;
      // Kubernetes removes pods that are not ready first, then by deletion cost if there is one, then the newest.
      const order = (pod: Pod) => (pod.readyAt > now ? -1 : pool.scaler.idleFirst ? pod.running.length : 0);
      pool.pods.sort((a, b) => order(b) - order(a) || a.readyAt - b.readyAt);
      for (const gone of pool.pods.splice(desired)) {
        if (gone.running.length > 0) killedBusy++;
        for (const owner of taskGroup.get(gone.running) ?? []) (groups[owner] as { waiting: number }).waiting++;
      }
    }
    const pods = pools.reduce((sum, pool) => sum + pool.pods.length, 0);
    podSeconds += pods * STEP;
    samples.push({ now, pods, backlog: backlog() });
  }
  const done = groups.filter(({ left }) => left === 0).map(({ at, endedAt }) => endedAt - at);
  return {
    samples,
    podHours: podSeconds / 3600,
    meanCompletion: done.reduce((sum, one) => sum + one, 0) / done.length,
    longestCompletion: Math.max(...done),
    killedBusy,
    unfinished: groups.length - done.length,
  };
}
