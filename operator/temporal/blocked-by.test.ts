import { describe, expect, test } from 'vitest';
import { blockedByOf } from './blocked-by.ts';

const NOW = Date.UTC(2026, 4, 6);
const at = (ms: number) => ({ seconds: { toNumber: () => ms / 1000 } }) as never;
const failure = (message: string, type = 'ArchiveMissing') => ({ message, applicationFailureInfo: { type } });
const waiting = (ms: number, attempt = 1) => ({ attempt, state: 1, scheduledTime: at(NOW - ms) });

describe('the cause that blocks a run', () => {
  test.each([
    ['nothing is pending', [], undefined],
    [
      'one activity is at work',
      [{ attempt: 1, state: 2, lastStartedTime: at(NOW), scheduledTime: at(NOW - 3_600_000) }],
      undefined,
    ],
    ['one failed once', [{ attempt: 2, lastFailure: failure('no such directory') }], undefined],
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
      [{ attempt: 4, lastFailure: { message: 'activity Heartbeat timeout', timeoutFailureInfo: {} } }],
      { reason: 'TimedOut', message: 'activity Heartbeat timeout' },
    ],
    ['one was scheduled a moment ago', [waiting(5_000)], undefined],
    ['nobody takes one', [waiting(60_000)], { reason: 'NoWorker', message: 'no worker has taken it up' }],
    [
      'a worker that ended gave it back, and nobody takes it again',
      [{ ...waiting(20_000, 2), lastStartedTime: at(NOW - 90_000), lastFailure: failure('shutdown') }],
      { reason: 'NoWorker', message: 'no worker has taken it up' },
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
});
