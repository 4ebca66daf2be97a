import { expect, test } from 'vitest';
import { ClickHouseUnavailableError, RowsRefusedError } from './errors.ts';
import { retry } from './retry.ts';

const quick = { attempts: 3, initial: 1, longest: 2 };

test('transient errors are retried, and the last error is thrown when the attempts are used up', async () => {
  let tries = 0;
  const flaky = async () => {
    if (++tries < 3) throw new ClickHouseUnavailableError(`try ${tries}`);
    return tries;
  };
  expect(await retry(flaky, quick)).toBe(3);
  tries = -10;
  await expect(retry(flaky, quick)).rejects.toThrow('try -7');
});

test('errors that are not transient are not retried', async () => {
  let tries = 0;
  const refused = async () => {
    tries++;
    throw new RowsRefusedError('no');
  };
  await expect(retry(refused, quick)).rejects.toThrow('no');
  expect(tries).toBe(1);
});

test('a signal ends the wait with its reason', async () => {
  const stop = new AbortController();
  const never = retry(() => Promise.reject(new ClickHouseUnavailableError('down')), {
    attempts: 5,
    initial: 3_600_000,
    longest: 3_600_000,
    signal: stop.signal,
    onRetry: () => stop.abort(new Error('drained')),
  });
  await expect(never).rejects.toThrow('drained');
});
