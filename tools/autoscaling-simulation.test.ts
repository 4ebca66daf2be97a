import { expect, test } from 'vitest';
import { compare } from '../test/simulate/autoscaling.ts';

const all = compare();

test.each(all.map(one => [one.shape.name, one] as const))(
  '%s: no busy pod is removed, and all work is done',
  (_, { operator }) => {
    expect(operator).toMatchObject({ killedBusy: 0, unfinished: 0 });
  },
);

test.each(all.map(one => [one.shape.name, one] as const))(
  '%s: fewer pod-hours than KEDA, and the work is done at least as soon',
  (_, { operator, keda }) => {
    expect(operator.podHours).toBeLessThan(keda.podHours);
    if (keda.unfinished > 0) return;
    expect(operator.meanCompletion).toBeLessThanOrEqual(keda.meanCompletion);
    expect(operator.longestCompletion).toBeLessThanOrEqual(keda.longestCompletion);
  },
);
