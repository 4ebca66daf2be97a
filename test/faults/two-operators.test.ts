import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { Backfill } from '../../crds/backfill.ts';
import type { PipelineSchedule } from '../../crds/pipeline-schedule.ts';
import { BACKFILLS, PIPELINE_SCHEDULES } from '../../operator/controllers/resources.ts';
import { LEASES } from '../../operator/kube/builtin.ts';
import { note } from '../support/fault-notes.ts';
import { ApiProxy, kubeconfigFor } from '../support/kubeconfig-proxies.ts';
import { eventually, OperatorProcess } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';
import { emptyBuckets, StubWorker } from '../support/stub-worker.ts';
import { TemporalProxy } from '../support/temporal-proxy.ts';

/* Two operators, each with proxies of its own that record its writes. The leader is stopped by SIGSTOP in the middle of its work, and continued. */
const bed = new OperatorBed('two-operators');
const { client, namespace } = bed;

/** An operator and its writes, in Kubernetes (without lease) and in Temporal. */
class Candidate {
  readonly name: string;
  readonly writes: string[] = [];
  readonly #api: ApiProxy;
  readonly #temporal: TemporalProxy;
  #config: Awaited<ReturnType<typeof kubeconfigFor>> | undefined;
  process!: OperatorProcess;

  constructor(name: string, account: string) {
    this.name = name;
    this.#api = new ApiProxy(account);
    this.#temporal = new TemporalProxy(inject('temporalAddress'));
    this.#api.onWrite = ({ method, path }) => {
      if (!path.includes('/leases')) this.writes.push(`${method} ${path}`);
      return true;
    };
    this.#temporal.onWrite = method => {
      this.writes.push(method);
      return true;
    };
  }

  async start(): Promise<void> {
    this.#config = await kubeconfigFor(await this.#api.start());
    this.process = new OperatorProcess({
      ...bed.env,
      POD_NAME: this.name,
      KUBECONFIG: this.#config.path,
      TEMPORAL_ADDRESS: await this.#temporal.start(),
    });
  }

  async stop(): Promise<void> {
    this.process?.child.kill('SIGCONT');
    await this.process?.kill();
    await this.#api.stop();
    this.#temporal.stop();
    await this.#config?.remove();
  }

  /** Waits until the log has had a line that many times. */
  logs(text: string, times = 1): Promise<boolean> {
    return eventually(async () => this.process.output.split(text).length > times);
  }
}

/**
 * A process that is stopped between the check of its lease and the system call that sends, a few microseconds, sends that one request
 * when it goes on. Neither Kubernetes nor Temporal has fencing tokens, so no client can prevent it.
 */
const SENT_LATE = 1;

let first: Candidate;
let second: Candidate;
let worker: StubWorker;
let held = true;

beforeAll(async () => {
  await bed.prepare();
  first = new Candidate('first', bed.env.KUBECONFIG as string);
  second = new Candidate('second', bed.env.KUBECONFIG as string);
  const activities = emptyBuckets(['2024-01-01', '2024-01-02'], () => held);
  worker = await StubWorker.start({ address: bed.temporalAddress, namespace, installation: 'ooni', activities });
});

afterAll(async () => {
  held = false;
  await first?.stop();
  await second?.stop();
  await worker?.stop();
  await bed.stop();
});

/** Each Backfill has a country of its own, so that no run of another one is in flight. */
const COUNTRIES = { before: 'IT', during: 'FR', after: 'ES', last: 'DE' };
const backfill = (name: keyof typeof COUNTRIES) =>
  client.create(BACKFILLS, {
    metadata: { name, namespace },
    spec: { startAt: '2024-01-01', endAt: '2024-01-03', probeCC: [COUNTRIES[name]] },
  } as Backfill);
const reason = (resource: typeof BACKFILLS, name: string, expected: string) =>
  eventually(async () => {
    const { status } = await client.get(resource, { name, namespace });
    return status?.conditions?.some(one => one.reason === expected);
  });
const holder = async () =>
  (await client.list(LEASES, { namespace })).map(({ spec }) => spec?.holderIdentity?.replace(/_.*/, '')).join();

test('a leader that was stopped and continued begins no write, and nothing is done twice', async () => {
  await first.start();
  await eventually(async () => (await holder()) === 'first');
  await second.start();
  await second.logs('standing by');
  await backfill('before');
  await reason(BACKFILLS, 'before', 'Started');
  expect(second.writes).toEqual([]);

  // The leader has written the finalizer, and stops in the middle of its work on this Backfill.
  await backfill('during');
  await eventually(async () => {
    const { metadata } = await client.get(BACKFILLS, { name: 'during', namespace });
    return (metadata.finalizers ?? []).length > 0;
  });
  first.process.child.kill('SIGSTOP');
  const [before] = await client.list(LEASES, { namespace });
  await client.create(PIPELINE_SCHEDULES, {
    metadata: { name: 'daily', namespace },
    spec: { schedule: '0 2 29 2 *' },
  } as PipelineSchedule);

  await eventually(async () => (await holder()) === 'second');
  const [after] = await client.list(LEASES, { namespace });
  const failOver = (Date.parse(after?.spec?.acquireTime ?? '') - Date.parse(before?.spec?.renewTime ?? '')) / 1000;
  note(`fail-over: ${failOver.toFixed(1)} s from the last renewal to the next leader`);
  const atTakeover = first.writes.length;
  await reason(BACKFILLS, 'during', 'Started');
  await reason(PIPELINE_SCHEDULES as never, 'daily', 'Scheduled');

  first.process.child.kill('SIGCONT');
  await first.logs('no longer leading; starting again as a standby');
  await first.logs('standing by');
  await backfill('after');
  await reason(BACKFILLS, 'after', 'Started');
  expect(first.writes.slice(atTakeover).length, first.writes.slice(atTakeover).join()).toBeLessThanOrEqual(SENT_LATE);

  for (const name of ['before', 'during', 'after']) {
    const { metadata } = await client.get(BACKFILLS, { name, namespace });
    const runs = [];
    for await (const run of bed.temporal.workflow.list({
      query: `WorkflowId = 'ooni/backfill/${namespace}/${name}/${metadata.uid}'`,
    })) {
      runs.push(run);
    }
    expect(runs, name).toHaveLength(1);
  }
  const schedules = [];
  for await (const { scheduleId } of bed.temporal.schedule.list()) schedules.push(scheduleId);
  expect(schedules.filter(id => id.endsWith('/daily'))).toHaveLength(1);
});

test('a leader that ends in order hands the lease over, and the other one continues', async () => {
  expect(await second.process.stop()).toBe(0);
  const [released] = await client.list(LEASES, { namespace });
  expect(released?.spec?.holderIdentity === '' || (await holder()) === 'first').toBe(true);
  await eventually(async () => (await holder()) === 'first');
  await backfill('last');
  await reason(BACKFILLS, 'last', 'Started');
  expect(first.writes.length).toBeGreaterThan(0);
});
