import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer as createPlainServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createServer, type TlsOptions } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { tlsFailure } from './tls-failure.ts';

const read = (name: string) => readFileSync(join(import.meta.dirname, '../test/fixtures/tls', name));
const pair = (name: string) => ({ crt: read(`${name}.pem`), key: read(`${name}.key`) });
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Starts a server that sends something after the handshake, as one of HTTP/2 does. Returns its address. */
async function serve(server: Server): Promise<string> {
  servers.push(server);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return `localhost:${(server.address() as AddressInfo).port}`;
}

const secure = (options: TlsOptions) =>
  serve(
    createServer(
      { key: read('server.key'), cert: read('server.pem'), ALPNProtocols: ['h2'], ...options },
      socket => void socket.on('error', () => {}).write('settings'),
    ),
  );
const mutual = () => secure({ requestCert: true, rejectUnauthorized: true, ca: read('client-ca-1.pem') });
const ca = read('server-ca.pem');

test('nothing fails with the right certificates', async () => {
  const tls = { serverRootCACertificate: ca, clientCertPair: pair('client-1') };
  expect(await tlsFailure({ address: await mutual(), tls })).toBeUndefined();
});

test('nothing is known of a server that is not there, and of a connection without TLS', async () => {
  expect(await tlsFailure({ address: 'localhost:1', tls: { serverRootCACertificate: ca } })).toBeUndefined();
  expect(await tlsFailure({ address: 'localhost:1' })).toBeUndefined();
});

test.each([
  [
    'another authority',
    'client-2',
    /^the server rejects the client certificate; renew it in temporal_tls_client_cert_path$/,
  ],
  [
    'an expired certificate',
    'expired',
    /^the server rejects the client certificate, which expired at 2021-01-01T00:00:00Z; renew it in/,
  ],
])('a client with %s', async (_, client, message) => {
  const tls = { serverRootCACertificate: ca, clientCertPair: pair(client) };
  expect(await tlsFailure({ address: await mutual(), tls })).toMatch(message);
});

test('a client without a certificate that the server asks for', async () => {
  expect(await tlsFailure({ address: await mutual(), tls: { serverRootCACertificate: ca } })).toMatch(
    /as one does that asks for a client certificate$/,
  );
});

test('a key of another certificate', async () => {
  const clientCertPair = { crt: read('client-1.pem'), key: read('client-2.key') };
  expect(await tlsFailure({ address: await mutual(), tls: { serverRootCACertificate: ca, clientCertPair } })).toBe(
    'the key in temporal_tls_client_key_path is not that of the certificate in temporal_tls_client_cert_path',
  );
});

test('a server whose authority is not trusted', async () => {
  const tls = { serverRootCACertificate: read('client-ca-1.pem') };
  expect(await tlsFailure({ address: await secure({}), tls })).toMatch(/not trusted; .* temporal_tls_server_ca_path$/);
});

test('a server with an expired certificate', async () => {
  const address = await secure({ key: read('expired.key'), cert: read('expired.pem') });
  expect(await tlsFailure({ address, tls: { serverRootCACertificate: read('expired.pem') } })).toBe(
    'the certificate of the server, or of its authority, has expired',
  );
});

test('a certificate of another host', async () => {
  const address = (await secure({})).replace('localhost', '127.0.0.2');
  servers.at(-1)!.close();
  const other = createServer({ key: read('server.key'), cert: read('server.pem') });
  servers.push(other);
  await new Promise<void>(resolve => other.listen(Number(address.split(':')[1]), '127.0.0.2', resolve));
  expect(await tlsFailure({ address, tls: { serverRootCACertificate: ca } })).toMatch(
    /127\.0\.0\.2 is not in the cert's list/,
  );
});

test('a server without TLS', async () => {
  const address = await serve(
    createPlainServer(socket => void socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n')),
  );
  expect(await tlsFailure({ address, tls: { serverRootCACertificate: ca } })).toBe('the server does not speak TLS');
});
