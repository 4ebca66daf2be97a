import { expect, test } from 'vitest';
import { SPECS } from '../test/support/specs.ts';
import { durationSeconds } from './fields.ts';
import { KINDS } from './kinds.ts';
import { parseSpec, SpecError } from './resource.ts';

function problems(kind: string, spec: unknown): string[] {
  const found = KINDS.find(one => one.kind === kind);
  if (!found) throw new Error(`no kind ${kind}`);
  try {
    parseSpec(found, { spec });
    return [];
  } catch (error) {
    if (!(error instanceof SpecError)) throw error;
    return [...error.problems];
  }
}

test.each(SPECS)('$kind: $what', ({ kind, spec, rejected }) => {
  const found = problems(kind, spec);
  if (rejected === undefined) expect(found).toEqual([]);
  else expect(found.join('\n')).toContain(rejected);
});

test('a problem names field and value', () => {
  expect(problems('Backfill', { startAt: '2024-02-30', endAt: '2024-03-01' })).toEqual([
    'spec.startAt "2024-02-30": is not a day of the calendar: that month has fewer days',
  ]);
  expect(problems('Backfill', { startAt: '2024-02-01', endAt: '2024-03-01', probeCC: ['IT', 'ITA'] })).toEqual([
    'spec.probeCC[1] "ITA": must be a two-letter country code, such as IT',
  ]);
});

test('resources of a template must be quantities; the problem names the field', () => {
  const pool = (cpu: unknown) => ({
    template: { spec: { containers: [{ name: 'worker', resources: { requests: { cpu, memory: '1Gi' } } }] } },
  });
  for (const cpu of ['500m', '2', 2, 0.5, '.5', '1e3', '1E', '-1', '0.1Ti']) {
    expect(problems('WorkerPool', pool(cpu)), String(cpu)).toEqual([]);
  }
  for (const cpu of ['lots', '', '2 cores', '1gi', '1,5', '1Kii', true]) {
    expect(problems('WorkerPool', pool(cpu))).toEqual([
      `spec.template.spec.containers[0].resources.requests.cpu ${JSON.stringify(cpu)}: must be a quantity of Kubernetes, such as 500m, 2 or 1Gi`,
    ]);
  }
});

test('a container of a template has an image, or it is the one of the worker', () => {
  const pool = (spec: object) => ({ template: { spec } });
  const hint =
    'has no image, and is not the worker\'s container, whose name is "worker"; correct the name, or give it an image';
  expect(problems('WorkerPool', pool({ containers: [{ name: 'worker' }, { name: 'wroker', env: [] }] }))).toEqual([
    `spec.template.spec.containers[1].name "wroker": ${hint}`,
  ]);
  expect(problems('WorkerPool', pool({ initContainers: [{ name: 'worker' }] }))).toEqual([
    `spec.template.spec.initContainers[0].name "worker": ${hint}`,
  ]);
  expect(problems('WorkerPool', pool({ containers: [{ name: 'proxy', image: 'proxy:1' }] }))).toEqual([]);
});

test('the error lists every problem, not only the first', () => {
  const found = problems('PipelineSchedule', { schedule: 'x', timeZone: 'y' });
  expect(found).toHaveLength(2);
});

test('defaults are those of the design', () => {
  const kind = (name: string) => KINDS.find(one => one.kind === name)!;
  expect(parseSpec(kind('Backfill'), { spec: { startAt: '2024-01-01', endAt: '2024-02-01' } })).toEqual({
    startAt: '2024-01-01',
    endAt: '2024-02-01',
    granularity: 'Day',
    stages: ['Observations', 'Analysis'],
    probeCC: [],
    testNames: [],
    order: 'OldestFirst',
    reprocess: 'None',
    maxActiveRuns: 4,
    suspend: false,
    cancel: 'None',
    attempt: 1,
    dryRun: false,
    allowShrink: false,
  });
  expect(parseSpec(kind('PipelineSchedule'), { spec: { schedule: '0 2 * * *' } })).toEqual({
    schedule: '0 2 * * *',
    timeZone: 'Etc/UTC',
    granularity: 'Day',
    stages: ['Observations', 'Analysis'],
    probeCC: [],
    testNames: [],
    suspend: false,
    catchUpWindow: '24h',
    overlap: 'Allow',
  });
});

test.each([
  ['90s', 90],
  ['10m', 600],
  ['1h30m', 5400],
  ['24h', 86_400],
  ['', undefined],
  ['10', undefined],
  ['30m1h', undefined],
  ['1.5h', undefined],
])('the duration %j is %s seconds', (text, seconds) => {
  expect(durationSeconds(text)).toBe(seconds);
});
