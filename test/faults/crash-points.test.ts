import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { note } from '../support/fault-notes.ts';
import { adminClient, installCrds } from '../support/operator.ts';
import { OperatorLife, PHASES, type State } from '../support/operator-life.ts';

/* Resources live through six phases. The state at the end of each equals that of an undisturbed life, although the operator is killed again and
 * again after its nth write, or its requests meet random faults. It takes minutes, so only `npm run faults` runs it; operator-crash.test.ts
 * has the writes of new resources in Kubernetes. */
/** Every how many writes the operator is killed, and in which phases. Every third or seventh write is in the middle of its work. */
const KILLS: readonly (readonly [number, string])[] = [
  ...PHASES.map(({ name }) => [1, name] as const),
  [3, 'every phase'],
  [7, 'every phase'],
];
/** On a busy machine. On two idle processors a test takes a minute or two. */
const LONG = { timeout: 3_600_000 };
const SEEDS = process.env.FAULTS_SEED ? [Number(process.env.FAULTS_SEED)] : [1, 20, 300];

const expected = new Map<string, State>();
/** Writes of an undisturbed life by phase. */
const writes = new Map<string, readonly string[]>();
/** Phase of each kill, and the writes whose responses the operator did not get. */
const points: { phase: string; lost: readonly string[] }[] = [];
const faults = new Map<string, number>();
let survived = 0;
let livesDisturbed = 0;
let livesSurvived = 0;

const open = (name: string, how: { killEvery?: number; seed?: number } = {}) =>
  new OperatorLife({
    kubeconfig: inject('kubeconfig'),
    address: inject('temporalAddress'),
    name: `life-${name}`,
    ...how,
  });

describe.runIf(process.env.FAULTS)('the operator', () => {
  beforeAll(async () => {
    const client = adminClient(inject('kubeconfig'));
    await installCrds(client);
    await client.http.close();
    const life = open('undisturbed');
    try {
      await life.open();
      for (const phase of PHASES) {
        expected.set(phase.name, await life.undisturbed(phase));
        writes.set(phase.name, life.writes);
        if (process.env.FAULTS_DEBUG) console.log(`${phase.name}: ${life.writes.join(', ')}`);
      }
    } finally {
      await life.close();
    }
  }, LONG.timeout);

  afterAll(() => {
    for (const [name, all] of writes) {
      const tried = points.filter(({ phase }) => phase === name);
      note(`phase ${name}: ${all.length} writes without a fault; ${tried.length} crashes`);
    }
    const kinds = new Set(points.flatMap(({ lost }) => lost));
    note(`crash points: ${points.length} tried, ${survived} survived, after ${kinds.size} kinds of writes`);
    const sum = [...faults.values()].reduce((total, count) => total + count, 0);
    const list = [...faults].map(([kind, count]) => `${kind} ${count}`).join(', ');
    note(`faults of requests: ${sum} caused in ${livesDisturbed} lives, of which ${livesSurvived} survived: ${list}`);
  });

  // The lives share nothing, and each mostly waits.
  test.concurrent.each(KILLS)(
    'killed after every write number %i of %s, it reaches the same state',
    LONG,
    async (nth, where) => {
      const life = open(`killed-${nth}-${where.replace(' ', '-')}`, { killEvery: nth });
      try {
        await life.open();
        for (const phase of PHASES) {
          const state = expected.get(phase.name) as State;
          if (where !== phase.name && where !== 'every phase') {
            await life.reaches(phase, state);
            continue;
          }
          const began = performance.now();
          // A life after a crash repeats some writes. It must not repeat the same ones for ever.
          const most = 3 * (writes.get(phase.name)?.length ?? 0) + 10;
          const killed = await life.killed(phase, state, most, lost => points.push({ phase: phase.name, lost }));
          survived += killed.length;
          const seconds = Math.round((performance.now() - began) / 1000);
          const list = killed.map(lost => lost.join(' + ')).join(', ');
          if (process.env.FAULTS_DEBUG) console.log(`${nth} ${phase.name}, ${seconds} s: ${list}`);
          if (where === phase.name) break;
        }
        const last = PHASES.find(({ name }) => name === where) ?? PHASES.at(-1);
        if (last) await life.stays(last, expected.get(last.name) as State);
      } finally {
        await life.close();
      }
    },
  );

  test.concurrent.each(SEEDS)('with random faults of seed %i, it reaches the same state', LONG, async seed => {
    livesDisturbed++;
    const life = open(`seed-${seed}`, { seed });
    try {
      await life.open();
      for (const phase of PHASES) {
        const began = performance.now();
        await life.reaches(phase, expected.get(phase.name) as State);
        const seconds = Math.round((performance.now() - began) / 1000);
        if (process.env.FAULTS_DEBUG) console.log(`seed ${seed} ${phase.name}, ${seconds} s`);
      }
      const last = PHASES.at(-1) as (typeof PHASES)[number];
      await life.stays(last, expected.get(last.name) as State);
      livesSurvived++;
    } finally {
      for (const [kind, count] of life.faults) faults.set(kind, (faults.get(kind) ?? 0) + count);
      await life.close();
    }
  });

  test('every kind of fault occurred, and a crash after every kind of write', () => {
    const all = [
      ...['409', '410', '429', '500', 'response lost', 'replayed', 'delayed'],
      ...['UNAVAILABLE', 'RESOURCE_EXHAUSTED', 'DEADLINE_EXCEEDED'],
    ];
    expect(all.filter(kind => !faults.has(kind))).toEqual([]);
    const lost = new Set(points.flatMap(point => point.lost));
    expect([...new Set([...writes.values()].flat())].filter(write => !lost.has(write))).toEqual([]);
  });
});
