import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { systemClock } from '../../operator/kube/clock.ts';
import { Temporal } from '../../operator/temporal/connection.ts';
import { listSchedules } from '../../operator/temporal/schedule-list.ts';
import {
  createSchedule,
  deleteSchedule,
  describeSchedule,
  type ScheduleRequest,
  updateSchedule,
} from '../../operator/temporal/schedules.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { SEARCH_ATTRIBUTES } from '../../worker/contract.ts';
import { eventually, makeTemporalNamespace } from '../support/operator.ts';

/* What Temporal's lists of schedules show, and how it compares with descriptions. A list follows the schedules with a delay. */
const address = inject('temporalAddress');
const namespace = 'schedule-list';
const settings = loadSettings({ TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace });
const temporal = new Temporal(settings, {
  attributes: Object.keys(SEARCH_ATTRIBUTES),
  log: createLogger('test', settings),
});

beforeAll(() => makeTemporalNamespace(address, namespace));
afterAll(() => temporal.close());

const NOT_PAUSED = { paused: false, note: '' };
const request = (id: string, over: Partial<ScheduleRequest> = {}): ScheduleRequest => ({
  ...{ id, installation: 'ours', launchID: id, hash: 'h', ownerUID: 'u', cron: ['0 2 * * *'], timeZone: 'Etc/UTC' },
  ...{ overlap: 'Skip', catchUpWindow: 3600, workflowType: 'None', summary: '', input: {} },
  ...{ attributes: { OoniInstallation: 'ours' }, ...over },
});
const list = (installation = 'ours') => listSchedules(temporal, installation, systemClock);
const describe = async (id: string) => {
  const found = await describeSchedule(temporal, id);
  if (!found) throw new Error(`there is no schedule ${id}`);
  return found;
};

test.each([
  { name: 'each day', cron: ['0 2 * * *'] },
  { name: 'in another time zone', cron: ['30 3 * * 1-5'], timeZone: 'Europe/Rome' },
  { name: 'with more lines than a list shows', cron: Array.from({ length: 14 }, (_, n) => `${n} ${n} * * *`) },
])('a schedule $name is listed as it is described, and a change of its times shows', async ({ name, ...over }) => {
  const id = `times ${name}`;
  await createSchedule(temporal, request(id, over), NOT_PAUSED);
  const described = await describe(id);
  const listed = await eventually(async () => (await list()).get(id));
  expect(listed).toEqual({
    print: described.print,
    ...NOT_PAUSED,
    nextFirings: described.nextFirings.slice(0, listed.nextFirings.length),
    recent: [],
  });
  expect(listed.nextFirings.length).toBeGreaterThan(2);
  await updateSchedule(temporal, request(id, { cron: ['7 7 * * *'] }), {
    pause: { paused: true, note: 'why' },
    seen: described,
  });
  const changed = await eventually(async () => {
    const entry = (await list()).get(id);
    return entry?.paused && entry;
  });
  expect(changed).toMatchObject({ print: (await describe(id)).print, note: 'why' });
  expect(changed.print).not.toBe(described.print);
});

test('a list has the schedules of one installation, those that were adopted, and none that was deleted', async () => {
  await createSchedule(temporal, request('theirs', { attributes: { OoniInstallation: 'theirs' } }), NOT_PAUSED);
  await createSchedule(temporal, request('foreign', { attributes: {} }), NOT_PAUSED);
  await createSchedule(temporal, request('brief'), NOT_PAUSED);
  await eventually(async () => (await list('theirs')).has('theirs'));
  await eventually(async () => (await list()).has('brief'));
  expect([...(await list()).keys()]).not.toContain('theirs');
  await updateSchedule(temporal, request('foreign'), { pause: NOT_PAUSED, seen: await describe('foreign') });
  await eventually(async () => (await list()).has('foreign'));
  await deleteSchedule(temporal, 'brief', 'u');
  await eventually(async () => !(await list()).has('brief'));
});

test('a list of more than a page has every schedule once', async () => {
  const ids = Array.from({ length: 9 }, (_, n) => `page ${n}`);
  const attributes = { OoniInstallation: 'pages' };
  for (const id of ids) await createSchedule(temporal, request(id, { attributes }), { paused: true, note: '' });
  const found = await eventually(async () => {
    const all = await listSchedules(temporal, 'pages', systemClock, 4);
    return all.size >= ids.length && all;
  });
  expect([...found.keys()].sort()).toEqual(ids);
});
