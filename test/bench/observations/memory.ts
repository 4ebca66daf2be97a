/**
 * Measures the memory of a process with busy threads, separately from the rest of the benchmark:
 *
 *     node memory.ts BIRTH THREADS SECONDS [TIMES]
 *
 * BIRTH is the JSON of a thread's Birth. With TIMES each thread makes one pass over an object that repeats the input TIMES times.
 * Without it each thread makes passes for SECONDS. Prints JSON: peak memory in MB, in total and in each tenth of the time.
 */
import { peakMemory } from '../../support/peak-memory.ts';
import type { Birth } from './thread.ts';
import { Thread } from './threads.ts';

const [birth, threads, seconds, times] = process.argv.slice(2) as [string, string, string, string?];
const MB = 1e6;
const seen: number[] = [];
const sampling = setInterval(() => seen.push(process.memoryUsage.rss() / MB), 50);
const all = await Promise.all(Array.from({ length: Number(threads) }, () => Thread.start(JSON.parse(birth) as Birth)));
const started = performance.now();
await Promise.all(
  all.map(async thread => {
    if (times) await thread.pass({ kind: 'encode', times: Number(times) });
    else while (performance.now() - started < Number(seconds) * 1e3) await thread.pass({ kind: 'encode' });
  }),
);
const took = (performance.now() - started) / 1e3;
clearInterval(sampling);
const tenth = Math.ceil(seen.length / 10);
const tenths = Array.from({ length: 10 }, (_, i) => Math.round(Math.max(0, ...seen.slice(i * tenth, (i + 1) * tenth))));
console.log(JSON.stringify({ peak: peakMemory(), tenths, seconds: Number(took.toFixed(1)) }));
await Promise.all(all.map(thread => thread.stop()));
