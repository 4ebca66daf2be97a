import { expect, test } from 'vitest';
import type { Condition } from '../../crds/conditions.ts';
import { desiredConditions, lint, merge, type ReadySummary, seconds, transitions } from './conditions.ts';

const NOW = Date.parse('2026-01-02T03:04:05.678Z');
const LATER = NOW + 60_000;
const summary = (kind: ReadySummary['kind'], reason: ReadySummary['reason']): ReadySummary => ({
  kind,
  reason,
  message: 'a sentence',
});
const status = (before: readonly Condition[] | undefined, summary: ReadySummary, generation = 1, now = NOW) => ({
  observedGeneration: generation,
  conditions: merge(before, desiredConditions(summary), generation, now),
});

test.each([
  [summary('ready', 'Started'), { Ready: 'True' }],
  [summary('working', 'Starting'), { Ready: 'False', Reconciling: 'True' }],
  [summary('stalled', 'InvalidSpec'), { Ready: 'False', Stalled: 'True' }],
  [summary('unknown', 'TemporalUnavailable'), { Ready: 'Unknown' }],
  [summary('failing', 'RequestFailed'), { Ready: 'False' }],
] as const)('%o becomes conditions that agree with each other', (summary, expected) => {
  const result = status(undefined, summary);
  expect(lint(result)).toEqual([]);
  expect(Object.fromEntries(result.conditions.map(({ type, status }) => [type, status]))).toEqual(expected);
});

test('a transition time changes only with the status', () => {
  const first = status(undefined, summary('ready', 'Started'));
  const reason = status(first.conditions, summary('ready', 'Ended'), 2, LATER);
  expect(reason.conditions[0]).toMatchObject({
    reason: 'Ended',
    lastTransitionTime: seconds(NOW),
    observedGeneration: 2,
  });
  const gone = status(first.conditions, summary('stalled', 'InvalidSpec'), 2, LATER);
  expect(gone.conditions[0]?.lastTransitionTime).toBe(seconds(LATER));
});

test('a message that is too long is cut', () => {
  const long = status(undefined, { kind: 'stalled', reason: 'InvalidSpec', message: 'x'.repeat(40_000) });
  expect(lint(long)).toEqual([]);
  expect(long.conditions[0]?.message).toHaveLength(32_768);
});

test('a transition has one event, and a severe one is a warning', () => {
  const ready = status(undefined, summary('ready', 'Started')).conditions;
  expect(transitions(undefined, ready)).toEqual([{ type: 'Normal', reason: 'Started', message: 'a sentence' }]);
  expect(transitions(ready, status(ready, summary('ready', 'Started'), 2, LATER).conditions)).toEqual([]);
  const stalled = status(ready, summary('stalled', 'InvalidSpec')).conditions;
  expect(transitions(ready, stalled)).toEqual([{ type: 'Warning', reason: 'InvalidSpec', message: 'a sentence' }]);
});

test('the linter finds conditions that would mislead kstatus and people', () => {
  const ready = status(undefined, summary('ready', 'Started'));
  const [condition] = ready.conditions as [Condition];
  const broken = (conditions: object[], generation: number | undefined = 1) =>
    lint({ observedGeneration: generation, conditions: conditions as Condition[] });
  expect(broken([])).toContain('Ready is missing');
  expect(broken([condition], 2)).toContain('Ready observed another generation');
  expect(broken([condition, condition])).toContain('a type occurs twice');
  expect(broken([condition, { ...condition, type: 'Stalled' }])).toEqual([
    'Stalled may not have reason Started',
    'Ready although Stalled or Reconciling',
  ]);
  expect(broken([condition, { ...condition, type: 'Reconciling', status: 'False', reason: 'Starting' }])).toContain(
    'Reconciling is False; it is present only while true',
  );
  expect(broken([{ ...condition, reason: 'Because' }])).toContain('Ready: Because is not a documented reason');
  expect(broken([{ ...condition, message: ' ' }])).toContain('Ready has no message, or one too long');
});
