import { expect, test } from 'vitest';
import { type Counts, noCounts } from '../counts.ts';
import type { RunStage } from '../ledger/ledger.ts';
import { type RunPlan, type RunSteps, runStages } from './bucket-run.ts';
import type { BucketEnd } from './observations.ts';

const BOTH: readonly RunStage[] = ['Observations', 'Analysis'];
const read = (measurements: number): Counts => ({ ...noCounts(), read: measurements });
const endOf = (counts: Counts, more: Partial<BucketEnd> = {}): BucketEnd => ({ counts, rowsStored: {}, ...more });

class Broken extends Error {}

/** Steps that record their calls. Batches are numbers: a batch of n reads n measurements. */
function recorded(plan: RunPlan<number>, change: Partial<RunSteps<number, RunPlan<number>, string>> = {}) {
  const calls: string[] = [];
  const steps: RunSteps<number, RunPlan<number>, string> = {
    async plan(attempt) {
      calls.push(`plan ${attempt}`);
      return plan;
    },
    openBatches: () => ({
      run: work => work(),
      async observe(batch) {
        calls.push(`observe ${batch}`);
        return read(batch);
      },
      storedBefore: () => undefined,
      cancel: () => calls.push('cancel'),
    }),
    async finish(_, counts) {
      calls.push(`finish ${counts.read}`);
      return endOf(counts);
    },
    async analyse(observed) {
      calls.push(`analyse ${observed?.counts.read}`);
      return 'verdicts';
    },
    async abandon({ stage, error, counts }) {
      calls.push(`abandon ${stage} ${counts.read}`);
      throw new Broken((error as Error).message);
    },
    tooManyFailures: message => new Broken(message),
    archiveChanged: error => (error as Error).message === 'changed',
    ...change,
  };
  return { calls, steps };
}

test('the stages run in order, and the counts are those of all batches', async () => {
  const { calls, steps } = recorded({ batches: [1, 2] });
  expect(await runStages(BOTH, steps)).toMatchObject({ observed: { counts: { read: 3 } }, analysis: 'verdicts' });
  expect(calls).toEqual(['plan 1', 'observe 1', 'observe 2', 'finish 3', 'analyse 3']);
});

test.each<[string, readonly RunStage[], RunPlan<number>, readonly string[]]>([
  ['observations alone', ['Observations'], { batches: [1] }, ['plan 1', 'observe 1', 'finish 1']],
  ['an analysis alone', ['Analysis'], { batches: [1] }, ['analyse undefined']],
  ['kept observations', BOTH, { batches: [], kept: true }, ['plan 1', 'analyse 0']],
  ['an empty bucket that its plan has finished', BOTH, { batches: [], end: endOf(read(0)) }, ['plan 1']],
])('%s', async (_, stages, plan, expected) => {
  const { calls, steps } = recorded(plan);
  await runStages(stages, steps);
  expect(calls).toEqual(expected);
});

test('the first batch that fails stops the others, and what they had stored counts', async () => {
  const { calls, steps } = recorded(
    { batches: [1, 2, 4] },
    {
      openBatches: () => {
        let stop = (_: Error) => {};
        const stopped = new Promise<never>((_, reject) => {
          stop = reject;
        });
        return {
          run: work => work(),
          async observe(batch) {
            if (batch === 1) return read(1);
            if (batch === 2) throw new Error('full disk');
            return stopped;
          },
          storedBefore: (_, batch) => (batch === 4 ? read(3) : undefined),
          cancel: () => stop(new Error('stopped')),
        };
      },
    },
  );
  await expect(runStages(BOTH, steps)).rejects.toThrow('full disk');
  expect(calls).toEqual(['plan 1', 'abandon Observations 4']);
});

test('a run plans again when the archive changed, five times in all', async () => {
  const finish = async () => {
    throw new Error('changed');
  };
  const { calls, steps } = recorded({ batches: [] }, { finish });
  await expect(runStages(BOTH, steps)).rejects.toThrow('changed');
  expect(calls.filter(call => call.startsWith('plan'))).toEqual(['plan 1', 'plan 2', 'plan 3', 'plan 4', 'plan 5']);
});

test('a run with too many failures is recorded once, and has no analysis', async () => {
  const finish = async (_: unknown, counts: Counts) => endOf(counts, { tooManyFailures: 'half of them failed' });
  const { calls, steps } = recorded({ batches: [1] }, { finish });
  await expect(runStages(BOTH, steps)).rejects.toThrow('half of them failed');
  expect(calls).toEqual(['plan 1', 'observe 1']);
});

test('an analysis that fails keeps the counts of the observations', async () => {
  const analyse = async () => {
    throw new Error('no memory');
  };
  const { calls, steps } = recorded({ batches: [2] }, { analyse });
  await expect(runStages(BOTH, steps)).rejects.toThrow('no memory');
  expect(calls.at(-1)).toBe('abandon Analysis 2');
});
