/**
 * Observes one bucket of an archive on a thread, as a worker does. Prints its counts, and the peak of the process's memory before the start
 * of the thread and after its work.
 *
 *     node measure-batch.ts ARCHIVE_DIR CLICKHOUSE_URL BUCKET
 */
import { DirectoryArchive } from '../../pipeline/archive/directory.ts';
import { EVERYTHING, filterIDOf } from '../../pipeline/filter.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { planBucket } from '../../pipeline/runs/observations.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { openClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { ThreadPool } from '../../pipeline/threads/pool.ts';
import { silent } from './database.ts';
import { peakMemory } from './peak-memory.ts';

const [root, url, bucket] = process.argv.slice(2) as [string, string, string];
const settings = loadSettings({ ARCHIVE_URL: root, CLICKHOUSE_URL: url, WORKER_SLOTS: '1' });
const clickhouse = openClickHouse(settings);
const tools = { archive: new DirectoryArchive(root), clickhouse, log: silent };
const pool = new ThreadPool(settings, openIpMetadata(undefined), silent);
const key = { bucket, filter: EVERYTHING, filterID: filterIDOf(EVERYTHING) };
const origin = { workflowID: 'test', runID: bucket, backfill: '', codeVersion: '0', referenceVersions: {} };
const { run, batches } = await planBucket({ ...tools, origin }, key, Date.now());
const beforeMB = peakMemory();
const counts = [];
for (const batch of batches) counts.push(await pool.run({ run, batch }, {}));
await Promise.all([pool.close(), clickhouse.close()]);
console.log(JSON.stringify({ counts, beforeMB, peakMB: peakMemory() }));
