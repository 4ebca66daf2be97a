import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { LuaFactory } from 'wasmoon';
import { parse } from 'yaml';
import { CONDITIONS } from '../crds/conditions.ts';
import { KINDS } from '../crds/kinds.ts';
import { parseSpec, type Resource } from '../crds/resource.ts';
import { desiredConditions, lint, merge, type ReadySummary } from '../operator/controllers/conditions.ts';
import { argocdActions, argocdCustomizations, argocdScript } from './argocd-customizations.ts';

interface Case {
  readonly name: string;
  readonly health: string;
  readonly message?: string;
  readonly actions: readonly string[];
  readonly object: Resource<Record<string, unknown>, Record<string, unknown>>;
}

const FIXTURES = join(import.meta.dirname, '../test/fixtures/argocd');
const NOW = Date.parse('2024-07-02T08:00:00Z');

function cases(kind: string): Case[] {
  return parse(readFileSync(join(FIXTURES, `${kind.toLowerCase()}.yaml`), 'utf8'), { merge: true });
}

function example(kind: string, name: string): Case['object'] {
  return structuredClone(cases(kind).find(one => one.name === name)!.object);
}

/** Returns the value as a Lua expression. */
function literal(value: unknown): string {
  if (value === null || value === undefined) return 'nil';
  if (Array.isArray(value)) return `{${value.map(literal).join(',')}}`;
  if (typeof value === 'object') {
    return `{${Object.entries(value)
      .map(([key, one]) => `[${JSON.stringify(key)}]=${literal(one)}`)
      .join(',')}}`;
  }
  return JSON.stringify(value);
}

/**
 * Runs a script as Argo CD does: with the global `obj`, the base functions and the library `table`, and of `os` only `time` and `date`. The
 * clock shows NOW.
 */
async function run(script: string, obj: unknown): Promise<unknown> {
  const engine = await new LuaFactory().createEngine();
  try {
    return await engine.doString(`
      local date = os.date
      local safe = {
        time = function() return ${NOW / 1000} end,
        date = function(form, time) return date(form, time or ${NOW / 1000}) end,
      }
      require = function(name) assert(name == "os", name) return safe end
      debug.setmetatable("", nil)
      for _, name in ipairs({ "string", "math", "utf8", "coroutine", "io", "debug", "package", "os", "load", "loadfile", "dofile" }) do
        _G[name] = nil
      end
      obj = ${literal(obj)}
      return (function() ${script}
      end)()`);
  } finally {
    engine.global.close();
  }
}

async function possibleActions(kind: string, obj: unknown): Promise<string[]> {
  const found = (await run(argocdScript(`actions/${kind}/discovery.lua`), obj)) as Record<
    string,
    { disabled: boolean }
  >;
  expect(Object.keys(found).sort()).toEqual(argocdActions(kind));
  return Object.keys(found)
    .filter(name => !found[name]!.disabled)
    .sort();
}

describe.each(KINDS.map(one => [one.kind, one] as const))('%s in Argo CD', (kind, definition) => {
  test.each(cases(kind).map(one => [one.name, one] as const))('health and actions: %s', async (_, one) => {
    // The fixture is an object of the API, with a status that the operator may write.
    parseSpec(definition, one.object);
    if (one.object.status) {
      definition.status.parse(one.object.status);
      expect(lint(one.object.status)).toEqual([]);
    }
    const health = (await run(argocdScript('health.lua'), one.object)) as { status: string; message: string };
    expect(health.status).toBe(one.health);
    if (one.message) expect(health.message).toBe(one.message);
    expect(health.message).toMatch(/\S/);
    expect(await possibleActions(kind, one.object)).toEqual([...one.actions].sort());
  });
});

describe('health in Argo CD', () => {
  const HEALTH: Record<ReadySummary['kind'], string> = {
    ready: 'Healthy',
    working: 'Progressing',
    stalled: 'Degraded',
    unknown: 'Progressing',
    failing: 'Progressing',
  };
  test.each(Object.entries(HEALTH))('a resource that the operator finds %s is %s', async (kind, expected) => {
    const summary = { kind: kind as ReadySummary['kind'], reason: 'Accepted', message: 'The message.' } as const;
    const conditions = merge(undefined, desiredConditions(summary), 3, NOW);
    const object = {
      metadata: { name: 'june', generation: 3 },
      spec: {},
      status: { observedGeneration: 3, conditions },
    };
    expect(await run(argocdScript('health.lua'), object)).toEqual({ status: expected, message: 'The message.' });
  });

  test('a condition of another type does not change the health', async () => {
    const others = Object.keys(CONDITIONS).filter(type => !['Ready', 'Stalled', 'Warning'].includes(type));
    const object = example('Backfill', 'runs');
    const { conditions } = object.status as { conditions: object[] };
    for (const type of others) {
      conditions.unshift({
        type,
        status: 'True',
        reason: 'Accepted',
        message: type,
        observedGeneration: 1,
        lastTransitionTime: '2024-07-02T08:00:00Z',
      });
    }
    expect(await run(argocdScript('health.lua'), object)).toMatchObject({ status: 'Healthy' });
  });
});

describe('actions in Argo CD', () => {
  test.each([
    ['Backfill', 'runs', 'suspend', { suspend: true }],
    ['Backfill', 'suspended', 'resume', { suspend: false }],
    ['Backfill', 'planned by a dry run', 'run', { dryRun: false }],
    ['Backfill', 'ended with failed buckets', 'retry', { attempt: 2 }],
    ['Backfill', 'runs', 'cancel', { cancel: 'Drain' }],
    ['Backfill', 'drains', 'cancel-now', { cancel: 'Now' }],
    ['PipelineSchedule', 'scheduled', 'suspend', { suspend: true }],
    ['PipelineSchedule', 'suspended', 'resume', { suspend: false }],
    [
      'WorkerPool',
      'available',
      'restart',
      { template: { metadata: { annotations: { 'pipeline.ooni.org/restarted-at': '2024-07-02T08:00:00Z' } } } },
    ],
  ])('%s that is %s: %s sets %o', async (kind, name, action, change) => {
    const object = example(kind, name);
    const changed = (await run(argocdScript(`actions/${kind}/${action}.lua`), object)) as Case['object'];
    // Lua does not distinguish an empty list from an empty object; Argo CD restores those of the original.
    const empty = (spec: object) =>
      Object.fromEntries(
        Object.entries(spec).map(([key, one]) => [key, Array.isArray(one) && one.length === 0 ? {} : one]),
      );
    expect(empty(changed.spec)).toEqual({ ...empty(object.spec), ...change });
    parseSpec(KINDS.find(one => one.kind === kind)!, { spec: { ...object.spec, ...change } });
  });

  test('run of a PipelineSchedule creates a Backfill from its last successful bucket to now', async () => {
    const result = await run(
      argocdScript('actions/PipelineSchedule/run.lua'),
      example('PipelineSchedule', 'scheduled'),
    );
    expect(result).toEqual([
      {
        operation: 'create',
        resource: {
          apiVersion: 'pipeline.ooni.org/v1alpha1',
          kind: 'Backfill',
          metadata: {
            name: 'daily-run-20240702080000',
            namespace: 'ooni',
            labels: { 'app.kubernetes.io/created-by': 'argocd' },
          },
          spec: {
            startAt: '2024-07-01',
            endAt: '2024-07-02',
            granularity: 'Day',
            stages: ['Observations', 'Analysis'],
            testNames: ['web_connectivity'],
          },
        },
      },
    ]);
    parseSpec(KINDS.find(one => one.kind === 'Backfill')!, (result as [{ resource: { spec: object } }])[0].resource);
  });

  test('run of a PipelineSchedule without a successful bucket of its granularity begins at least a bucket ago', async () => {
    const hourly = example('PipelineSchedule', 'without a status');
    const script = argocdScript('actions/PipelineSchedule/run.lua');
    const specOf = async (object: unknown) =>
      ((await run(script, object)) as [{ resource: { spec: Record<string, string> } }])[0].resource.spec;
    const { startAt, endAt } = await specOf(hourly);
    expect(endAt).toBe('2024-07-02T08');
    expect(startAt! < endAt! && startAt! > '2024-06-30T12').toBe(true);
    const daily = example('PipelineSchedule', 'scheduled');
    daily.status!.lastSuccessfulBucket = '2024-07-01T05';
    const spec = await specOf(daily);
    expect(spec.startAt! < spec.endAt!).toBe(true);
    expect(spec.startAt).toMatch(/^2024-0[67]-\d\d$/);
  });
});

test('the patch of argocd-cm contains every script', () => {
  const { data } = parse(argocdCustomizations()) as { data: Record<string, string> };
  expect(Object.keys(data)).toHaveLength(2 * KINDS.length);
  for (const { kind } of KINDS) {
    expect(data[`resource.customizations.health.pipeline.ooni.org_${kind}`]).toBe(argocdScript('health.lua'));
    const actions = parse(data[`resource.customizations.actions.pipeline.ooni.org_${kind}`]!);
    expect(actions['discovery.lua']).toBe(argocdScript(`actions/${kind}/discovery.lua`));
    expect(actions.definitions.map(({ name }: { name: string }) => name)).toEqual(argocdActions(kind));
  }
});
