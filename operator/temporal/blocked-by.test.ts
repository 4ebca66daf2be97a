import { describe, expect, test } from 'vitest';
import { blockedByOf, blockerOf, failureOf, progressKeyOf } from './blocked-by.ts';
import { toPayload } from './payload.ts';

const NOW = Date.UTC(2026, 4, 6);
const at = (ms: number) => ({ seconds: { toNumber: () => ms / 1000 } }) as never;
const failure = (message: string, type = 'ArchiveMissing') => ({ message, applicationFailureInfo: { type } });
const heartbeat = (details: unknown) => ({ payloads: [toPayload(details)] });
const waiting = (ms: number, attempt = 1) => ({ attempt, state: 1, scheduledTime: at(NOW - ms) });

describe('the cause that blocks a run', () => {
  test.each([
    ['nothing is pending', [], undefined],
    [
      'one activity is at work',
      [{ attempt: 1, state: 2, lastStartedTime: at(NOW), scheduledTime: at(NOW - 3_600_000) }],
      undefined,
    ],
    [
      'one failed once',
      [{ attempt: 2, lastFailure: failure('no such directory') }],
      { reason: 'ArchiveMissing', message: 'no such directory' },
    ],
    [
      'one waits within its first attempt',
      [
        waiting(60_000),
        {
          attempt: 1,
          state: 2,
          heartbeatDetails: heartbeat({
            waitsFor: { reason: 'ClickHouseUnavailable', message: 'no space left on device' },
          }),
        },
      ],
      { reason: 'ClickHouseUnavailable', message: 'no space left on device' },
    ],
    [
      'a heartbeat with another content',
      [{ attempt: 1, state: 2, heartbeatDetails: heartbeat({ key: 'raw/x', waitsFor: 7 }) }],
      undefined,
    ],
    [
      'one failed twice',
      [{ attempt: 3, lastFailure: failure('no such directory') }],
      { reason: 'ArchiveMissing', message: 'no such directory' },
    ],
    [
      'several fail: the one tried most',
      [
        { attempt: 3, lastFailure: failure('a') },
        { attempt: 9, lastFailure: failure('b', 'ClickHouseUnavailable') },
      ],
      { reason: 'ClickHouseUnavailable', message: 'b' },
    ],
    [
      'a worker is gone again and again',
      [
        {
          attempt: 4,
          lastFailure: { message: 'activity StartToClose timeout', timeoutFailureInfo: { timeoutType: 1 } },
        },
      ],
      { reason: 'TimedOut', message: 'activity StartToClose timeout' },
    ],
    [
      'an activity whose worker was killed',
      [{ attempt: 4, lastFailure: { message: 'activity Heartbeat timeout', timeoutFailureInfo: { timeoutType: 4 } } }],
      { reason: 'TimedOut', message: expect.stringMatching(/^its worker has stopped reporting: it was killed/) },
    ],
    ['one was scheduled a moment ago', [waiting(5_000)], undefined],
    ['nobody takes one', [waiting(60_000)], { reason: 'NoWorker', message: 'no worker has taken it' }],
    [
      'a worker that ended gave it back, and nobody takes it again',
      [{ ...waiting(20_000, 2), lastStartedTime: at(NOW - 90_000), lastFailure: failure('shutdown') }],
      { reason: 'NoWorker', message: 'no worker has taken it' },
    ],
    [
      'a worker ended while it waited for the archive, and nobody takes the activity again',
      [
        {
          ...waiting(20_000, 2),
          heartbeatDetails: heartbeat({ waitsFor: { reason: 'ArchiveSlow', message: 'waiting for s3://a' } }),
        },
      ],
      { reason: 'NoWorker', message: 'no worker has taken it' },
    ],
    [
      'one that failed waits for its next attempt',
      [{ ...waiting(-60_000, 7), lastFailure: failure('no such directory') }],
      { reason: 'ArchiveMissing', message: 'no such directory' },
    ],
    [
      'some are taken',
      [waiting(60_000), { attempt: 1, state: 2, lastStartedTime: at(NOW), scheduledTime: at(NOW) }],
      undefined,
    ],
  ])('%s', (_, activities, expected) => {
    expect(blockedByOf(activities as never, NOW)).toEqual(expected);
  });

  test.each([
    ['a workflow task that a worker takes soon', { taskSince: NOW - 5_000 }, undefined],
    [
      'a workflow task that nobody takes',
      { taskSince: NOW - 20_000 },
      { reason: 'NoWorker', message: 'no worker answers for the workflow' },
    ],
    [
      'code that fails, before everything else',
      { failing: { reason: 'WorkflowTaskFailed', message: 'x is not a function' }, taskSince: NOW - 20_000 },
      { reason: 'WorkflowTaskFailed', message: 'x is not a function' },
    ],
  ])('%s', (_, work, expected) => {
    expect(blockerOf({ activities: [], ...work }, NOW)).toEqual(expected);
  });
});

test('the key of the progress changes with the checkpoint of an activity, not with its attempts or its waits', () => {
  const progressKey = (activityId: string, details: unknown, attempt = 1) =>
    progressKeyOf('run', [{ activityId, attempt, heartbeatDetails: heartbeat(details) } as never]);
  const first = progressKey('1', { reached: { key: 'a' } });
  expect(progressKey('1', { reached: { key: 'a' }, waitsFor: { reason: 'x', message: 'y' } }, 40)).toBe(first);
  expect(progressKey('1', { reached: { key: 'b' } })).not.toBe(first);
  expect(progressKey('2', { reached: { key: 'a' } })).not.toBe(first);
});

describe('the failure of a workflow task', () => {
  const failed = { workflowTaskFailedEventAttributes: { failure: { message: 'not defined' } } };
  const completed = { workflowTaskCompletedEventAttributes: {} };

  test('is that of the newest task that ended', () => {
    expect(failureOf([{}, failed, completed], 7)).toEqual({
      reason: 'WorkflowTaskFailed',
      message: 'attempt 7 of a workflow task: not defined',
    });
  });

  test('is undefined when the newest task was completed, or when its workers ended without an answer', () => {
    expect(failureOf([completed, failed], 3)).toBeUndefined();
    expect(failureOf([{ workflowTaskTimedOutEventAttributes: {} }], 3)).toBeUndefined();
  });
});
