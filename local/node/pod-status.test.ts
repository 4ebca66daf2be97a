import { describe, expect, test } from 'vitest';
import { podStatus } from './pod-status.ts';
import type { ContainerState, ContainerStatus, StoredPod } from './resources.ts';

const RUNNING: ContainerState = { running: { startedAt: '2024-01-01T00:00:00Z' } };
const WAITING: ContainerState = { waiting: { reason: 'ContainerCreating' } };
const ended = (exitCode: number): ContainerState => ({ terminated: { exitCode } as never });
const container = (state: ContainerState, more: Partial<ContainerStatus> = {}): ContainerStatus => ({
  name: 'c',
  image: '',
  imageID: '',
  ready: false,
  restartCount: 0,
  state,
  lastState: {},
  ...more,
});
const pod = (restartPolicy: string, status?: object, spec: object = {}) =>
  ({ metadata: { name: 'p' }, spec: { restartPolicy, containers: [], ...spec }, status }) as unknown as StoredPod;
const observe = (containers: ContainerStatus[], init: ContainerStatus[] = []) => ({
  podIP: '127.64.0.1',
  hostIP: '127.0.0.1',
  startTime: '2024-01-01T00:00:00Z',
  init,
  containers,
});
const NOW = '2024-01-02T00:00:00Z';

describe('phase', () => {
  test.each([
    ['Always', [container(WAITING)], [], 'Pending'],
    ['Always', [container(RUNNING)], [], 'Running'],
    ['Always', [container(ended(1))], [], 'Running'],
    ['Always', [container(WAITING, { restartCount: 3 })], [], 'Running'],
    ['OnFailure', [container(ended(0))], [], 'Succeeded'],
    ['OnFailure', [container(ended(1))], [], 'Running'],
    ['Never', [container(ended(0))], [], 'Succeeded'],
    ['Never', [container(ended(1)), container(ended(0))], [], 'Failed'],
    ['Never', [container(ended(1)), container(RUNNING)], [], 'Running'],
    ['Always', [container(WAITING)], [container(RUNNING)], 'Pending'],
    ['Never', [container(WAITING)], [container(ended(1))], 'Failed'],
    ['Always', [container(WAITING)], [container(ended(1))], 'Pending'],
    ['Always', [container(RUNNING)], [container(ended(0))], 'Running'],
  ] as const)('restartPolicy %s, %#', (policy, containers, init, phase) => {
    expect(podStatus(pod(policy), observe([...containers], [...init]), NOW).phase).toBe(phase);
  });
});

describe('conditions', () => {
  const find = (status: ReturnType<typeof podStatus>, type: string) =>
    status.conditions!.find(entry => entry.type === type)!;

  test('are true when all containers are ready', () => {
    const status = podStatus(pod('Always'), observe([container(RUNNING, { ready: true })]), NOW);
    expect(status.conditions!.map(({ type, status: is }) => [type, is])).toEqual([
      ['PodReadyToStartContainers', 'True'],
      ['Initialized', 'True'],
      ['Ready', 'True'],
      ['ContainersReady', 'True'],
    ]);
  });

  test('name the container that is not ready', () => {
    const status = podStatus(
      pod('Always'),
      observe([container(RUNNING, { ready: true }), container(RUNNING, { name: 'slow' })]),
      NOW,
    );
    expect(find(status, 'Ready')).toMatchObject({
      status: 'False',
      reason: 'ContainersNotReady',
      message: expect.stringContaining('[slow]'),
    });
  });

  test('wait for readiness gates', () => {
    const gated = pod(
      'Always',
      { conditions: [{ type: 'x/y', status: 'False' }] },
      { readinessGates: [{ conditionType: 'x/y' }] },
    );
    const status = podStatus(gated, observe([container(RUNNING, { ready: true })]), NOW);
    expect(find(status, 'Ready')).toMatchObject({ status: 'False', reason: 'ReadinessGatesNotReady' });
    expect(find(status, 'ContainersReady').status).toBe('True');
  });

  test('of others are kept, and times change only with the state', () => {
    const before = '2024-01-01T00:00:00Z';
    const known = pod('Always', {
      conditions: [
        { type: 'PodScheduled', status: 'True', lastTransitionTime: before },
        { type: 'Initialized', status: 'True', lastTransitionTime: before },
        { type: 'Ready', status: 'False', lastTransitionTime: before },
      ],
    });
    const status = podStatus(known, observe([container(RUNNING, { ready: true })]), NOW);
    expect(find(status, 'PodScheduled')).toEqual({ type: 'PodScheduled', status: 'True', lastTransitionTime: before });
    expect(find(status, 'Initialized').lastTransitionTime).toBe(before);
    expect(find(status, 'Ready').lastTransitionTime).toBe(NOW);
  });
});
