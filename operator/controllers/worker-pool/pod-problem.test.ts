import { describe, expect, test } from 'vitest';
import type { Pod } from '../../kube/builtin.ts';
import { podProblem } from './pod-problem.ts';

const pod = (status: object): Pod => ({ metadata: { name: 'w-1', namespace: 'data' }, status }) as Pod;
const waiting = (reason: string, message?: string) => ({
  containerStatuses: [{ state: { waiting: { reason, message } } }],
});

describe('the cause that keeps a pod from running', () => {
  test.each([
    ['nothing is known yet', {}, undefined],
    ['it runs', { containerStatuses: [{ state: { running: {} } }] }, undefined],
    ['it is being made', waiting('ContainerCreating'), undefined],
    [
      'no node takes it',
      {
        conditions: [
          { type: 'PodScheduled', status: 'False', message: '0/1 nodes are available: 1 Insufficient cpu..' },
        ],
      },
      'pod data/w-1 waits: 0/1 nodes are available: 1 Insufficient cpu',
    ],
    [
      'its image is not there',
      waiting('ImagePullBackOff', 'no such image'),
      'pod data/w-1: ImagePullBackOff: no such image',
    ],
    ['its settings are not there', waiting('CreateContainerConfigError'), 'pod data/w-1: CreateContainerConfigError'],
    [
      'it ends at once',
      {
        containerStatuses: [
          { state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState: { terminated: { exitCode: 1 } } },
        ],
      },
      'pod data/w-1 ended with status 1 and is started again and again; kubectl logs -n data w-1 --previous',
    ],
  ])('%s', (_, status, expected) => {
    expect(podProblem(pod(status))).toBe(expected);
  });
});
