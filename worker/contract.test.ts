import { expect, test } from 'vitest';
import {
  backfillWorkflowID,
  commandBackfillWorkflowID,
  launchIDPrefix,
  requestedRunWorkflowID,
  resourceOf,
  runWorkflowID,
} from './contract.ts';

const FIRING = '-2024-01-23T02:00:00Z';
const backfill = { kind: 'Backfill', namespace: 'data', name: 'example' };
const schedule = { kind: 'PipelineSchedule', namespace: 'data', name: 'daily-2024' };

test.each([
  [backfillWorkflowID('ooni', 'data', 'example', 'a1b2'), backfill],
  [
    commandBackfillWorkflowID('ooni', 'us-signal-20240101-000000'),
    { kind: 'Backfill', name: 'us-signal-20240101-000000' },
  ],
  [`${launchIDPrefix('ooni', 'data', 'daily-2024')}${FIRING}`, schedule],
  [`${launchIDPrefix('ooni', '_command', 'us-signal')}${FIRING}`, { kind: 'PipelineSchedule', name: 'us-signal' }],
  [requestedRunWorkflowID('ooni', 'data', 'daily-2024', 'now/2024-01-22'), schedule],
  [runWorkflowID('ooni', 'ALLCCS-ALLTNS', '2024-01-22'), undefined],
  ['ooni/reference/asnmeta-2024-01-23T02:00:00Z', undefined],
  ['by-hand', undefined],
])('the resource that started the workflow %s', (workflowID, resource) => {
  expect(resourceOf(workflowID)).toEqual(resource);
});
