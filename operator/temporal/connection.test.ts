import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import type { Connection } from '@temporalio/client';
import { afterAll, expect, test } from 'vitest';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { connectionOptions, Temporal } from './connection.ts';
import { TemporalDenied, TemporalUnavailable } from './errors.ts';

const dir = mkdtempSync(join(tmpdir(), 'ooni-tls-'));
afterAll(() => rmSync(dir, { recursive: true }));
const file = (name: string) => {
  const path = join(dir, name);
  writeFileSync(path, name);
  return path;
};
const silent = createLogger('test', { log_level: 'fatal', log_format: 'json' });
const PLAIN = {
  temporal_address: 'temporal:7233',
  temporal_namespace: 'default',
  temporal_tls_client_cert_path: '',
  temporal_tls_client_key_path: '',
  temporal_tls_server_ca_path: '',
  temporal_api_key: '',
  operator_temporal_calls_per_second: 100,
};

test('without TLS settings and API key the connection is plain', () => {
  const options = connectionOptions(PLAIN);
  expect(options.address).toBe('temporal:7233');
  expect(options.tls).toBeUndefined();
  expect(options.apiKey).toBeUndefined();
});

test('an API key turns TLS on', () => {
  expect(connectionOptions({ ...PLAIN, temporal_api_key: 'k' })).toMatchObject({ apiKey: 'k', tls: {} });
});

test('certificates are read when the connection is made', () => {
  const settings = {
    ...PLAIN,
    temporal_tls_client_cert_path: file('cert'),
    temporal_tls_client_key_path: file('key'),
    temporal_tls_server_ca_path: file('ca'),
  };
  expect(connectionOptions(settings).tls).toEqual({
    serverRootCACertificate: Buffer.from('ca'),
    clientCertPair: { crt: Buffer.from('cert'), key: Buffer.from('key') },
  });
  writeFileSync(settings.temporal_tls_client_cert_path, 'renewed');
  expect(connectionOptions(settings).tls).toMatchObject({ clientCertPair: { crt: Buffer.from('renewed') } });
});

test('the error for an unreadable file names its setting', () => {
  const settings = { ...PLAIN, temporal_tls_server_ca_path: join(dir, 'absent') };
  expect(() => connectionOptions(settings)).toThrow(TemporalDenied);
  expect(() => connectionOptions(settings)).toThrow(
    `temporal_tls_server_ca_path = ${settings.temporal_tls_server_ca_path} cannot be read: ENOENT`,
  );
});

test('a write ends with the time that the guard allows', async () => {
  const temporal = (left: number) =>
    new Temporal({ ...PLAIN, temporal_address: '127.0.0.1:1' }, { attributes: [], log: silent, guard: () => left });
  const deadlineOf = async (left: number) => {
    const one = temporal(left);
    const before = Date.now();
    const deadline = await one.write('reading the deadline', async client => {
      const { callContextStorage } = client.connection as Connection;
      return Number(callContextStorage.getStore()?.deadline);
    });
    await one.close();
    return deadline - before;
  };
  expect(await deadlineOf(700)).toBeLessThan(10_000);
  expect(await deadlineOf(1_000_000)).toBeLessThanOrEqual(20_000);
  expect(await deadlineOf(1_000_000)).toBeGreaterThanOrEqual(10_000);
});

test('a renewed certificate opens the connection again, and so do repeated failures', async () => {
  const clock = new ManualClock();
  const settings = {
    ...PLAIN,
    temporal_address: '127.0.0.1:1',
    temporal_tls_server_ca_path: file('ca-1'),
  };
  const temporal = new Temporal(settings, { attributes: [], log: silent, clock });
  const connection = () => temporal.call('looking', async client => client.connection);
  const first = await connection();
  expect(await connection()).toBe(first);
  writeFileSync(settings.temporal_tls_server_ca_path, 'renewed');
  await clock.advance(10_000);
  expect(await connection()).toBe(first);
  await clock.advance(21_000);
  const second = await connection();
  expect(second).not.toBe(first);
  const fail = () =>
    temporal.call('failing', () => Promise.reject(Object.assign(new Error('x'), { code: 14, details: 'expired' })));
  for (let attempt = 1; attempt <= 2; attempt++) await expect(fail()).rejects.toThrow(TemporalUnavailable);
  expect(await connection()).toBe(second);
  for (let attempt = 1; attempt <= 3; attempt++) await expect(fail()).rejects.toThrow(TemporalUnavailable);
  expect(await connection()).not.toBe(second);
  await temporal.close();
});

test('the message for a server that cannot be reached has the cause', async () => {
  const temporal = new Temporal(
    { ...PLAIN, temporal_address: '127.0.0.1:1' },
    { attributes: ['Anything'], log: silent },
  );
  // The first failure may come before the attempt to connect has ended.
  await expect
    .poll(
      () =>
        temporal
          .call('looking', async () => {})
          .then(
            () => '',
            error => error.message,
          ),
      { timeout: 100_000 },
    )
    .toBe('registering search attributes: connect ECONNREFUSED 127.0.0.1:1');
  await temporal.close();
});

test('the message for a rejected certificate says so, and stays the same', async () => {
  const tls = join(import.meta.dirname, '../../test/fixtures/tls');
  const read = (name: string) => readFileSync(join(tls, name));
  const server = createServer({
    ...{ key: read('server.key'), cert: read('server.pem'), ca: read('client-ca-1.pem') },
    ...{ requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2'] },
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const settings = {
    ...PLAIN,
    temporal_address: `localhost:${(server.address() as AddressInfo).port}`,
    temporal_tls_server_ca_path: join(tls, 'server-ca.pem'),
    temporal_tls_client_cert_path: join(tls, 'expired.pem'),
    temporal_tls_client_key_path: join(tls, 'expired.key'),
  };
  const temporal = new Temporal(settings, { attributes: ['Anything'], log: silent });
  for (let attempt = 1; attempt <= 2; attempt++) {
    await expect(temporal.call('looking', async () => {})).rejects.toThrow(
      'looking: the server rejects the client certificate, which expired at 2021-01-01T00:00:00Z; renew it in temporal_tls_client_cert_path',
    );
  }
  await temporal.close();
  server.close();
});
