import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { connectionOptions } from './connection.ts';
import { TemporalDenied } from './errors.ts';

const dir = mkdtempSync(join(tmpdir(), 'ooni-tls-'));
afterAll(() => rmSync(dir, { recursive: true }));
const file = (name: string) => {
  const path = join(dir, name);
  writeFileSync(path, name);
  return path;
};
const PLAIN = {
  temporal_address: 'temporal:7233',
  temporal_namespace: 'default',
  temporal_tls_client_cert_path: '',
  temporal_tls_client_key_path: '',
  temporal_tls_server_ca_path: '',
  temporal_api_key: '',
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
