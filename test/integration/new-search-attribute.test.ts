import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { Temporal } from '../../operator/temporal/connection.ts';
import { TemporalRejected, TemporalUnavailable } from '../../operator/temporal/errors.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { makeTemporalNamespace } from '../support/operator.ts';

/**
 * With visibility in Elasticsearch, Temporal rejects a search attribute for about a minute after its registration. The development server
 * does not, so these tests throw the error that the frontend of Temporal 1.31.2 sends then. `npm run temporal-production -- elasticsearch`
 * has that server.
 */
const address = inject('temporalAddress');
const namespace = 'new-search-attribute';
const settings = loadSettings({ TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace });
const temporal = new Temporal(settings, { attributes: ['OoniInstallation'], log: createLogger('test', settings) });

beforeAll(() => makeTemporalNamespace(address, namespace));
afterAll(() => temporal.close());

const INVALID_ARGUMENT = 3;
const rejected = (details: string) =>
  temporal.call('starting workflow a', () =>
    Promise.reject(Object.assign(new Error(details), { code: INVALID_ARGUMENT, details })),
  );

test.each([
  'Namespace new-search-attribute has no mapping defined for search attribute OoniInstallation',
  'search attribute OoniInstallation is not defined',
])('"%s" is a reason to wait, because the namespace has it', async details => {
  const error = await rejected(details).catch(failure => failure);
  expect(error).toBeInstanceOf(TemporalUnavailable);
  expect(error.message).toBe(
    `starting workflow a: ${details}. Temporal uses a new search attribute after about a minute`,
  );
});

test.each([
  'Namespace new-search-attribute has no mapping defined for search attribute OoniOther',
  'invalid value for search attribute OoniInstallation of type Keyword',
])('"%s" is a rejection', async details => {
  await expect(rejected(details)).rejects.toThrow(TemporalRejected);
});
