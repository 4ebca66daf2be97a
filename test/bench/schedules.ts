/**
 * Cost of schedules in Temporal's development server alone, to compare with that of the operator.
 *
 *     npm run bench -- schedules [COUNT] [CONCURRENCY]
 *
 * Creates COUNT schedules (1000) with CONCURRENCY requests at a time (8), describes each, and lists all. Prints the seconds and the processor time of
 * the server for each step, and, last, one line of JSON.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTemporal } from '../../local/temporal.ts';
import { systemClock } from '../../operator/kube/clock.ts';
import { Temporal } from '../../operator/temporal/connection.ts';
import { listSchedules } from '../../operator/temporal/schedule-list.ts';
import { createSchedule, describeSchedule, type ScheduleRequest } from '../../operator/temporal/schedules.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { SEARCH_ATTRIBUTES } from '../../worker/contract.ts';
import { makeTemporalNamespace } from '../support/operator.ts';
import { processorTime } from './processor-time.ts';

const NAMESPACE = 'bench-schedules';
const INSTALLATION = 'ooni';
const [count, concurrency] = [Number(process.argv[2] ?? 1000), Number(process.argv[3] ?? 8)];

const dir = mkdtempSync(join(tmpdir(), 'ooni-bench-'));
const server = await startTemporal({ dir });
const pid = Number.parseInt(readFileSync(join(dir, 'temporal.pid'), 'utf8'), 10);
const settings = loadSettings({
  ...{ TEMPORAL_ADDRESS: server.address, TEMPORAL_NAMESPACE: NAMESPACE, LOG_LEVEL: 'error' },
  OPERATOR_TEMPORAL_CALLS_PER_SECOND: '100000',
});
const temporal = new Temporal(settings, {
  attributes: Object.keys(SEARCH_ATTRIBUTES),
  log: createLogger('bench', settings),
});
try {
  await makeTemporalNamespace(server.address, NAMESPACE);
  await temporal.call('registering search attributes', async () => {});
  const all = {
    create: await measure(id => createSchedule(temporal, requestOf(id), { paused: false, note: '' })),
    describe: await measure(id => describeSchedule(temporal, id)),
    list: await measured(async () => {
      // A list follows the schedules with a delay.
      while ((await listSchedules(temporal, INSTALLATION, systemClock)).size < count);
    }),
  };
  console.log(JSON.stringify({ bench: 'schedules', cores: availableParallelism(), count, concurrency, ...all }));
} finally {
  await temporal.close();
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
}

/** Makes one call for each schedule. */
async function measure(call: (id: string) => Promise<unknown>) {
  const ids = Array.from({ length: count }, (_, n) => `schedule-${n}`).values();
  const took: number[] = [];
  const figures = await measured(() =>
    Promise.all(
      Array.from({ length: concurrency }, async () => {
        for (const id of ids) {
          const began = performance.now();
          await call(id);
          took.push(performance.now() - began);
        }
      }),
    ),
  );
  took.sort((a, b) => a - b);
  return { ...figures, medianMs: Math.round(took[took.length >> 1] ?? 0), longestMs: Math.round(took.at(-1) ?? 0) };
}

async function measured(work: () => Promise<unknown>) {
  const [began, used] = [performance.now(), processorTime(pid)];
  await work();
  const round = (value: number) => Math.round(value * 10) / 10;
  const figures = {
    seconds: round((performance.now() - began) / 1000),
    serverProcessorSeconds: round(processorTime(pid) - used),
  };
  console.log(JSON.stringify(figures));
  return figures;
}

function requestOf(id: string): ScheduleRequest {
  return {
    ...{
      id,
      installation: INSTALLATION,
      launchID: id,
      hash: '',
      ownerUID: '',
      cron: ['0 2 * * *'],
      timeZone: 'Etc/UTC',
    },
    ...{ overlap: 'Allow', catchUpWindow: 3600, workflowType: 'None', summary: '', input: {} },
    attributes: { OoniInstallation: INSTALLATION },
  };
}
