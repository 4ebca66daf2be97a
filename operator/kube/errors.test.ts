import { expect, it } from 'vitest';
import {
  AlreadyExistsError,
  ConflictError,
  errorFor,
  ForbiddenError,
  GoneError,
  InvalidError,
  KubeError,
  NotFoundError,
  OwnerUnknownError,
  retryAfter,
  ServerError,
  TooManyRequestsError,
  UnauthorizedError,
} from './errors.ts';

it.each([
  [400, '', KubeError],
  [401, 'Unauthorized', UnauthorizedError],
  [403, 'Forbidden', ForbiddenError],
  [404, 'NotFound', NotFoundError],
  [409, 'Conflict', ConflictError],
  [409, 'AlreadyExists', AlreadyExistsError],
  [410, 'Expired', GoneError],
  [422, 'Invalid', InvalidError],
  [429, 'TooManyRequests', TooManyRequestsError],
  [500, 'InternalError', ServerError],
  [503, '', ServerError],
])('%i %s has its own class', (status, reason, type) => {
  const error = errorFor('GET /x', status, { reason, message: 'why' });
  expect(error.constructor).toBe(type);
  expect(error).toMatchObject({ name: type.name, status, reason, request: 'GET /x', message: 'GET /x: why' });
});

it('tells a kind that the server does not know yet as an owner from a missing permission', () => {
  const message =
    'deployments.apps "ooni-worker-main" is forbidden: cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion pipeline.ooni.org/v1alpha1 Kind WorkerPool: no matches for kind "WorkerPool" in version "pipeline.ooni.org/v1alpha1"';
  expect(errorFor('PATCH /x', 403, { reason: 'Forbidden', message })).toBeInstanceOf(OwnerUnknownError);
});

it.each([
  'failed to create typed patch object (default/x; apps/v1, Kind=Deployment): .spec.nonsense: field not declared in schema',
  'failed to convert new object (default/x; apps/v1, Kind=Deployment) to proper version: quantities must match',
])('treats an applied object whose form does not fit its kind as rejected: %s', message => {
  expect(errorFor('PATCH /x', 500, { message })).toBeInstanceOf(InvalidError);
});

const TYPED = 'failed to create typed patch object (data/ooni-worker-main; apps/v1, Kind=Deployment): ';
it.each([
  [
    `${TYPED}.spec.template.spec.containers[name="worker"].image: expected string, got &value.valueUnstructured{Value:5}`,
    'spec.template.spec.containers[name="worker"].image: must be a string, and is 5',
  ],
  [
    `${TYPED}errors:\n  .spec.replicas: expected numeric (int or float), got &value.valueUnstructured{Value:"x"}\n  .spec.nonsense: field not declared in schema`,
    'spec.replicas: must be a number, and is "x"; spec.nonsense: Kubernetes does not have this field',
  ],
  [
    `${TYPED}.spec.template.spec.nodeSelector: expected map, got &{5}`,
    'spec.template.spec.nodeSelector: must be an object, and is 5',
  ],
  [
    `${TYPED}.spec.template.spec.tolerations: expected list, got &{map[key:a]}`,
    'spec.template.spec.tolerations: must be a list',
  ],
  [
    'failed to convert new object (data/x; apps/v1, Kind=Deployment) to proper version: quantities must match the pattern',
    'quantities must match the pattern',
  ],
  [
    'Deployment.apps "x" is invalid: spec.replicas: must be at least 0',
    'Deployment.apps "x" is invalid: spec.replicas: must be at least 0',
  ],
])('describes an invalid field in words', (message, words) => {
  expect(errorFor('PATCH /x', message.startsWith('failed') ? 500 : 422, { message })).toMatchObject({
    explanation: words,
  });
});

it('names the fields of a rejected object', () => {
  const causes = [{ field: 'spec.slots', message: 'must be at least 1', reason: 'FieldValueInvalid' }];
  expect(errorFor('PATCH /x', 422, { details: { causes } })).toMatchObject({ causes });
  expect(errorFor('PATCH /x', 422, {})).toMatchObject({ causes: [], message: 'PATCH /x: HTTP 422' });
});

it('reads the time to wait from the header, then from the body, and defaults to a second', () => {
  expect(errorFor('GET /x', 429, { details: { retryAfterSeconds: 3 } }, 7000)).toMatchObject({ after: 7000 });
  expect(errorFor('GET /x', 429, { details: { retryAfterSeconds: 3 } })).toMatchObject({ after: 3000 });
  expect(errorFor('GET /x', 429, {})).toMatchObject({ after: 1000 });
  expect(errorFor('GET /x', 503, {})).toMatchObject({ after: undefined });
  expect([retryAfter('2'), retryAfter(''), retryAfter('soon'), retryAfter(undefined)]).toEqual([
    2000,
    undefined,
    undefined,
    undefined,
  ]);
});
