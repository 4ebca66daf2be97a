import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { CORE_EVENTS, EVENTS } from '../../operator/kube/builtin.ts';
import { EventRecorder } from '../../operator/kube/events.ts';
import type { Stored } from '../../operator/kube/resource.ts';
import { CONFIG_MAPS, type ConfigMap, instruments, type KubeBed, kubeBed, NAMESPACES } from '../support/kube.ts';
import { kubectl } from '../support/operator.ts';

const namespace = `events-${randomUUID().slice(0, 8)}`;
let bed: KubeBed;
beforeAll(async () => {
  bed = await kubeBed(inject('kubeconfig'), namespace);
});
afterAll(() => bed.stop());

const object = (name: string): Promise<Stored<ConfigMap>> =>
  bed.direct.create(CONFIG_MAPS, { metadata: { name, namespace } });
const eventsOf = async ({ metadata }: Stored) =>
  (await bed.direct.list(EVENTS, { namespace })).filter(event => event.regarding?.uid === metadata.uid);
const started = { type: 'Normal', reason: 'Started', action: 'Start', note: 'The backfill has started.' } as const;

it('writes an event with object, reason and reporter', async () => {
  const recorder = new EventRecorder(bed.direct, 'ooni.test/operator', instruments());
  const about = await object('one');
  recorder.record(CONFIG_MAPS, about, started);
  await recorder.flush();
  expect(await eventsOf(about)).toMatchObject([
    {
      ...started,
      reportingController: 'ooni.test/operator',
      regarding: { kind: 'ConfigMap', apiVersion: 'v1', name: 'one', namespace },
    },
  ]);
  // The form that kubectl describe reads.
  const core = await bed.direct.http.request<{ items: { message: string; involvedObject: { name: string } }[] }>({
    method: 'GET',
    path: `/api/v1/namespaces/${namespace}/events`,
    query: { fieldSelector: 'involvedObject.name=one' },
  });
  expect(core.items).toMatchObject([{ message: started.note }]);
});

it('sets the times and counts by which kubectl sorts and shows events', async () => {
  const recorder = new EventRecorder(bed.direct, 'ooni.test/operator', instruments());
  const about = await object('sorted');
  const before = Math.floor(Date.now() / 1000) * 1000;
  recorder.record(CONFIG_MAPS, about, started);
  await recorder.flush();
  recorder.record(CONFIG_MAPS, about, started);
  await recorder.flush();
  const [event] = (await bed.direct.list(CORE_EVENTS, { namespace })).filter(
    ({ involvedObject }) => involvedObject.uid === about.metadata.uid,
  );
  expect(event).toMatchObject({ count: 2, source: { component: 'ooni.test/operator' } });
  expect(Date.parse(event?.firstTimestamp ?? '')).toBeGreaterThanOrEqual(before);
  expect(Date.parse(event?.lastTimestamp ?? '')).toBeGreaterThanOrEqual(Date.parse(event?.firstTimestamp ?? ''));
  const file = inject('kubeconfig');
  const sorted = await kubectl(file, ['get', 'events', '-n', namespace, '--sort-by=.lastTimestamp', '--no-headers']);
  expect(sorted.trim().split('\n').at(-1)).toContain('configmap/sorted');
  expect(sorted).not.toContain('<unknown>');
});

it('counts repetitions on one event, and separates different ones', async () => {
  const recorder = new EventRecorder(bed.direct, 'ooni.test/operator', instruments());
  const about = await object('series');
  for (let i = 0; i < 5; i++) recorder.record(CONFIG_MAPS, about, started);
  await recorder.flush();
  recorder.record(CONFIG_MAPS, about, started);
  recorder.record(CONFIG_MAPS, about, { ...started, type: 'Warning', reason: 'Failed' });
  await recorder.flush();
  const events = await eventsOf(about);
  expect(events.map(({ reason, series }) => [reason, series?.count]).sort()).toEqual([
    ['Failed', undefined],
    ['Started', 6],
  ]);
});

it('begins a new event when the old one has expired on the server', async () => {
  const recorder = new EventRecorder(bed.direct, 'ooni.test/operator', instruments());
  const about = await object('expired');
  recorder.record(CONFIG_MAPS, about, started);
  await recorder.flush();
  const [event] = await eventsOf(about);
  await bed.direct.delete(EVENTS, event!.metadata);
  recorder.record(CONFIG_MAPS, about, started);
  await recorder.flush();
  const [again] = await eventsOf(about);
  expect(again?.metadata.name).not.toBe(event?.metadata.name);
});

it('writes about cluster-scoped objects, and cuts long notes', async () => {
  const recorder = new EventRecorder(bed.direct, 'ooni.test/operator', instruments());
  const about = await bed.direct.get(NAMESPACES, { name: namespace });
  recorder.record(NAMESPACES, about, { ...started, note: 'ü'.repeat(2000) });
  await recorder.flush();
  const events = await bed.direct.list(EVENTS, { namespace: 'default' });
  const [event] = events.filter(({ regarding }) => regarding?.uid === about.metadata.uid);
  // 1,024 bytes at most: 510 characters of two bytes, and three for the ellipsis.
  expect(event?.note).toBe(`${'ü'.repeat(510)}…`);
});

it('never fails: a failed write is counted', async () => {
  const tools = instruments();
  const recorder = new EventRecorder(bed.proxied, 'ooni.test/operator', tools);
  const about = await object('away');
  bed.proxy.down();
  for (let i = 0; i < 300; i++) recorder.record(CONFIG_MAPS, about, { ...started, note: `number ${i}` });
  await recorder.flush();
  bed.proxy.up();
  expect((await tools.metrics.eventsFailed.get()).values[0]?.value).toBe(300);
  // A repetition is written: the failure is forgotten.
  recorder.record(CONFIG_MAPS, about, { ...started, note: 'number 0' });
  await recorder.flush();
  expect(await eventsOf(about)).toMatchObject([{ note: 'number 0' }]);
});
