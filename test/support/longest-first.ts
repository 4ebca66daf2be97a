import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Test files that take over a minute on two processors. If one of them started last, it would run alone at the end. */
const LONGEST = [
  'test/stack/stack',
  'test/faults/worker-crash',
  'test/integration/start',
  'test/integration/verify',
  'test/faults/operator-crash',
  'test/integration/analysis-stage',
  'test/integration/analysis-fidelity',
  'test/faults/memory',
];

/** Orders the test files: the longest first, then vitest's own order. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const rank = ({ moduleId }: TestSpecification) => {
      const place = LONGEST.findIndex(path => moduleId.endsWith(`${path}.test.ts`));
      return place < 0 ? LONGEST.length : place;
    };
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}
