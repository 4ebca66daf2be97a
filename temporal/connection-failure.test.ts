import { expect, test } from 'vitest';
import { connectionFailure } from './connection-failure.ts';

/** Texts that the SDK's client and worker (1.24.0) give for a server that cannot be reached. */
test.each([
  [
    'tonic::transport::Error(Transport, ConnectError(ConnectError("tcp connect error", 127.0.0.1:9, Os { code: 111, kind: ConnectionRefused, message: "Connection refused" })))',
    'Connection refused (127.0.0.1:9)',
  ],
  [
    'tonic::transport::Error(Transport, ConnectError(ConnectError("dns error", Custom { kind: Uncategorized, error: "failed to lookup address information: Name or service not known" })))',
    'failed to lookup address information: Name or service not known',
  ],
  [
    'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:9. Resolution note: ',
    'connect ECONNREFUSED 127.0.0.1:9',
  ],
  [
    'No connection established. Last error: Failed to connect (2026-11-29T12:55:32.123Z). Resolution note: ',
    'Failed to connect',
  ],
  ['No connection established. Last error: null. Resolution note: stale address', 'null (stale address)'],
  [
    'Deadline exceeded after 9.468s,name resolution: 0.513s,metadata filters: 0.001s,time to current attempt start: 0.001s,Waiting for LB pick',
    'no answer in time',
  ],
  ['Deadline exceeded after 10.000s,remote_addr=127.0.0.1:7233', 'no answer in time'],
  ['tonic::transport::Error(Transport, Timeout)', 'tonic::transport::Error(Transport, Timeout)'],
  ['Name resolution failed for target dns:nowhere:7233', 'Name resolution failed for target dns:nowhere:7233'],
])('the cause of %s', (text, cause) => {
  expect(connectionFailure(text)).toBe(cause);
});
