import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { openArchive } from '../archive/open.ts';
import { type HttpFingerprints, readHttpFingerprints } from '../reference/http-fingerprints.ts';
import { IpMetadata } from '../reference/ip-metadata.ts';
import { type BatchTask, observeBatch } from '../runs/batch.ts';
import { classifyError, errorType } from '../runs/failure.ts';
import { openClickHouse } from '../tables/clickhouse.ts';
import { underTraceParent } from '../telemetry/spans.ts';
import { inWork } from '../telemetry/work-context.ts';
import type { FromThread, ThreadData, ToThread } from './messages.ts';

// Entry point of a pool thread: processes one batch at a time, from the archive to ClickHouse. Keeps connections, IP databases and
// fingerprints.

/** Minimum interval between two reports of progress, milliseconds. */
const PROGRESS_INTERVAL = 500;

const { settings, isTraced } = workerData as ThreadData;
const port = parentPort as MessagePort;
if (isTraced) {
  const { installThreadTracing } = await import('../telemetry/otel.ts');
  installThreadTracing(span => send({ type: 'span', span }));
}
const archive = openArchive(settings);
const clickhouse = openClickHouse(settings);
let ip: { readonly key: string; readonly metadata: IpMetadata } | undefined;
let fingerprints: HttpFingerprints | undefined;
let running: AbortController | undefined;

port.on('message', (message: ToThread) => {
  if (message.type === 'cancel') {
    running?.abort(new Error('cancelled'));
    return;
  }
  if (message.ip) ip = { key: message.ipKey, metadata: new IpMetadata(message.ip) };
  const { task, work, traceParent } = message;
  void underTraceParent(traceParent, () => (work ? inWork(work, () => run(task)) : run(task)));
});

function send(message: FromThread): void {
  port.postMessage(message);
}

async function run(task: BatchTask): Promise<void> {
  const stop = new AbortController();
  running = stop;
  let reported = 0;
  try {
    if (!ip) throw new TypeError('a batch came without IP databases');
    fingerprints = await readHttpFingerprints(clickhouse, fingerprints, stop.signal);
    const tools = {
      archive,
      clickhouse,
      ipMetadata: ip.metadata,
      httpFingerprints: fingerprints,
      maxMeasurementBytes: settings.max_measurement_bytes,
      writeBatchSize: settings.clickhouse_write_batch_size,
    };
    const counts = await observeBatch(tools, task, {
      signal: stop.signal,
      onProgress: counts => {
        if (Date.now() - reported < PROGRESS_INTERVAL) return;
        reported = Date.now();
        send({ type: 'progress', counts });
      },
      onCheckpoint: checkpoint => send({ type: 'checkpoint', checkpoint }),
      onInsertError: error => send({ type: 'insertError', error }),
      onStage: (stage, seconds) => send({ type: 'stage', stage, seconds }),
      onRetry: (error, attempt, wait) =>
        send({ type: 'retry', reason: errorType(error), message: error.message, attempt, wait }),
    });
    send({ type: 'done', counts });
  } catch (error) {
    send(stop.signal.aborted ? { type: 'cancelled' } : { type: 'failed', failure: classifyError(error) });
  } finally {
    running = undefined;
  }
}
