import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { Cache } from '../../operator/kube/cache.ts';
import { CONFIG_MAPS, eventually, instruments, type KubeBed, kubeBed } from '../support/kube.ts';

const namespace = `pause-${randomUUID().slice(0, 8)}`;
const name = 'leader';
let bed: KubeBed;
const processes: ChildProcess[] = [];
const stop = new AbortController();
beforeAll(async () => {
  bed = await kubeBed(inject('kubeconfig'), namespace);
});
afterAll(async () => {
  stop.abort();
  for (const child of processes) child.kill('SIGKILL');
  await bed.stop();
});

function candidate(identity: string) {
  const program = join(import.meta.dirname, '../support/lease-holder.ts');
  const child = spawn(process.execPath, [program, inject('kubeconfig'), namespace, name, identity], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  processes.push(child);
  const state = { leading: 0 };
  child.stdout.on('data', (text: Buffer) => {
    state.leading += String(text).split('leading').length - 1;
  });
  return { child, state, ended: once(child, 'exit') as Promise<[number | null]> };
}

/**
 * A process that is stopped between the check of its lease and the system call that sends, a few microseconds, sends that one request
 * when it goes on. The API of Kubernetes has no fencing tokens, so no client can prevent it. All other writes of the process are refused.
 */
const SENT_LATE = 1;

it('a process that was stopped in the middle of its writes begins no write after another has taken over', async () => {
  // Writers of every version of the config map that two processes compete for, in the order of the server.
  const writers: string[] = [];
  const cache = new Cache(bed.direct, CONFIG_MAPS, { instruments: instruments(), namespaces: [namespace] });
  cache.onChange(change => {
    if (change.object.metadata.name === name) writers.push(change.object.data?.by ?? '');
  });
  const watching = cache.run(stop.signal);
  await cache.whenSynced(stop.signal);

  for (let round = 0; round < 3; round++) {
    const [first, second] = [`first-${round}`, `second-${round}`];
    const paused = candidate(first);
    await eventually('the first leads and writes', () => writers.includes(first), 60_000);
    const other = candidate(second);
    // Varies the point between two writes or renewals.
    await new Promise(resolve => setTimeout(resolve, 400 + 170 * round));
    paused.child.kill('SIGSTOP');
    await eventually('the second takes over and writes', () => writers.includes(second), 60_000);
    paused.child.kill('SIGCONT');
    expect((await paused.ended)[0]).toBe(3);
    const takeover = writers.indexOf(second);
    const end = writers.length;
    await eventually('the second goes on', () => writers.length > end + 20, 60_000);
    expect(writers.slice(takeover).filter(by => by === first).length).toBeLessThanOrEqual(SENT_LATE);
    expect(writers.slice(0, takeover).filter(by => by === second)).toEqual([]);
    other.child.kill('SIGTERM');
    expect((await other.ended)[0]).toBe(0);
  }
  stop.abort();
  await watching;
});
