import { describe, expect, test } from 'vitest';
import type { Backfill } from '../../crds/backfill.ts';
import type { PipelineSchedule } from '../../crds/pipeline-schedule.ts';
import type { WorkerPool } from '../../crds/worker-pool.ts';
import type { Deployment } from '../../operator/kube/builtin.ts';
import { PLAIN, paletteFor } from '../colour.ts';
import { widthOf } from '../width.ts';
import { type InstallationView, isAsDesired, screenLines } from './screen.ts';

const COLOURED = paletteFor({ isTTY: true }, {});
const LINK =
  'http://127.0.0.1:8233/namespaces/default/workflows/ooni%2Fbackfill%2Fdefault%2Fus-signal-20261128-065007%2F3821c2b0-c62e-414c-8acc-d825e06c47e0';

const condition = (reason: string, message: string) => ({
  type: 'Ready' as const,
  status: 'False' as const,
  reason,
  message,
  lastTransitionTime: '2026-11-28T06:00:00Z',
  observedGeneration: 1,
});

/** An installation in which every text is as long as the API server, or Temporal, allows, and everything is broken. */
function longest(length: number): InstallationView {
  const name = (prefix: string) => ({ name: prefix.padEnd(length, 'x'), namespace: 'n'.repeat(Math.min(63, length)) });
  const ready = condition('SpecInvalid'.padEnd(30, 'd'), `${'w'.repeat(length)} ${LINK}?${'q'.repeat(length)}`);
  const links = { workflow: `${LINK}${'y'.repeat(length)}` };
  return {
    at: '2026-11-28T06:50:15Z',
    server: `https://${'h'.repeat(length)}.example.org:6443`,
    operators: [{ metadata: name('operator') } as Deployment],
    pools: [
      {
        metadata: name('pool'),
        spec: {},
        status: {
          conditions: [ready],
          links,
          tasks: 'Workflows, Activities',
          readyReplicas: 0,
          desiredReplicas: 100_000,
        },
      } as unknown as WorkerPool,
    ],
    schedules: [
      {
        metadata: name('daily'),
        spec: { schedule: `${'1,'.repeat(length)}2 * * * *` },
        status: {
          conditions: [ready],
          links,
          lastRun: { bucket: '2026-11-27T23', state: 'Failed' },
          nextBuckets: [{ bucket: '2026-11-28T00' }],
          missing: { count: 1_000_000, first: '2012-12-05T00' },
          lag: 123_456,
        },
      } as unknown as PipelineSchedule,
    ],
    backfills: [
      {
        metadata: name('b'),
        spec: {},
        status: {
          phase: 'Running',
          conditions: [ready],
          links,
          progress: { percent: 50, done: '61,362/122,724', failed: 10_000 },
          measurements: 10_000_000_000,
          eta: '2027-11-28T06:50:15Z',
          blockedBy: {
            reason: 'ClickHouseUnavailableError',
            message: `ClickHouse at ${'h'.repeat(length)} does not answer`,
          },
          failures: [{ bucket: '2024-01-30T05', reason: 'ArchiveUnavailableError', message: 'm'.repeat(length) }],
        },
      } as unknown as Backfill,
    ],
  };
}

test.each([20, 60, 253])(
  'no line of the screen but an address is wider than 100 columns, with names of %i characters',
  length => {
    const view = longest(length);
    for (const width of [100, 120]) {
      const plain = screenLines(view, PLAIN, width);
      expect(plain.filter(line => widthOf(line) > width && !line.startsWith(LINK))).toEqual([]);
      const coloured = screenLines(view, COLOURED, width);
      expect(coloured.map(widthOf)).toEqual(plain.map(widthOf));
      expect(coloured.join('')).toContain('\x1b[31m');
    }
  },
);

test('a long address is one line, which a terminal and a reader of the output can follow', () => {
  expect(screenLines(longest(20), PLAIN, 100)).toContain(`${LINK}${'y'.repeat(20)}`);
});

test('a bar is full only when all buckets are done', () => {
  const bars = [0, 9, 10, 96, 99, 100].map(percent => {
    const lines = screenLines(withStatus('backfills', { progress: { percent, done: 'x', failed: 0 } }), PLAIN, 100);
    return lines.join('\n').match(/[█░]{10}/)?.[0];
  });
  expect(bars).toEqual(['░░░░░░░░░░', '░░░░░░░░░░', '█░░░░░░░░░', '█████████░', '█████████░', '██████████']);
});

test('without a Deployment of the operator, the screen says so within the width', () => {
  const lines = screenLines({ ...longest(20), operators: [] }, PLAIN, 100);
  expect(lines.find(line => line.startsWith('Operator'))).toBe(
    'Operator not found: no Deployment has its labels; install the chart ooni-pipeline',
  );
});

/** An installation in which everything is as desired. */
function healthy(): InstallationView {
  const conditions = [{ ...condition('Available', 'All is well.'), status: 'True' as const }];
  const resource = (status: object) => ({
    metadata: { name: 'x', namespace: 'default' },
    spec: { schedule: '0 2 * * *' },
    status,
  });
  return {
    ...longest(20),
    operators: [{ metadata: { name: 'operator' }, status: { availableReplicas: 1 } } as Deployment],
    pools: [resource({ conditions }) as unknown as WorkerPool],
    schedules: [resource({ conditions, missing: { count: 1 }, active: 1 }) as unknown as PipelineSchedule],
    backfills: [resource({ conditions, phase: 'Running', progress: { failed: 0 } }) as unknown as Backfill],
  };
}

/** Returns the installation with another status of the only resource of a kind. */
function withStatus(kind: 'pools' | 'schedules' | 'backfills', change: object): InstallationView {
  const view = healthy();
  const [each] = view[kind];
  return { ...view, [kind]: [{ ...each, status: { ...each?.status, ...change } }] };
}

const also = (type: string) => ({
  conditions: [
    { ...condition('Available', ''), status: 'True' },
    { ...condition('Reason', 'message'), type, status: 'True' },
  ],
});

describe('the status of kubectl ooni', () => {
  test('is 0 while everything is as desired, also while buckets are missing because their run is active', () => {
    expect(isAsDesired(healthy())).toBe(true);
  });

  test.each<[string, InstallationView]>([
    ['no operator is available', { ...healthy(), operators: [] }],
    ['a pool is not ready', withStatus('pools', { conditions: [condition('RollingOut', '')] })],
    ['a resource has no status yet', withStatus('backfills', { conditions: [] })],
    ['a run of a schedule is blocked', withStatus('schedules', { blockedBy: { reason: 'NoWorker', message: 'm' } })],
    ['a run of a backfill is blocked', withStatus('backfills', { blockedBy: { reason: 'ArchiveSlow', message: 'm' } })],
    ['a bucket of a backfill failed', withStatus('backfills', { progress: { failed: 1 } })],
    ['the operator warns', withStatus('schedules', also('Warning'))],
    ['the last run of a schedule failed', withStatus('schedules', also('LastRunFailed'))],
  ])('is 1 when %s', (_, view) => {
    expect(isAsDesired(view)).toBe(false);
  });

  test('the screen names the last run that failed', () => {
    const lines = screenLines(withStatus('schedules', also('LastRunFailed')), PLAIN, 100);
    expect(lines[lines.indexOf('Not as desired') + 1]).toBe('  pipelineschedule/x: Reason: message');
  });
});
