import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { WORKFLOWS } from '../../worker/contract.ts';
import { makeNamespace, runInput, startRun, WorkerProcess } from '../support/worker.ts';

const TLS = join(import.meta.dirname, '../fixtures/tls');
const read = (name: string) => readFileSync(join(TLS, name));
const dir = mkdtempSync(join(tmpdir(), 'ooni-certificates-'));
const files = { cert: join(dir, 'tls.crt'), key: join(dir, 'tls.key') };

/** Puts a client certificate where the worker reads it, as Kubernetes does when a Secret changes. */
function install(client: string): void {
  copyFileSync(join(TLS, `${client}.pem`), files.cert);
  copyFileSync(join(TLS, `${client}.key`), files.key);
}

/** A Temporal server with TLS, which accepts client certificates of one authority. */
class TlsServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(address: string) {
    const [host = '', port] = address.split(':');
    const options = { requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2'] };
    this.#server = createServer(
      { ...options, key: read('server.key'), cert: read('server.pem'), ca: read('client-ca-1.pem') },
      socket => {
        const upstream = connect(Number(port), host);
        for (const one of [socket, upstream]) {
          this.#sockets.add(one);
          one.on('error', () => {}).on('close', () => this.#sockets.delete(one));
        }
        socket.on('close', () => upstream.destroy());
        upstream.on('close', () => socket.destroy());
        socket.pipe(upstream).pipe(socket);
      },
    );
  }

  async start(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
    return `localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Accepts only certificates of another authority from now on, and breaks the connections of the others. */
  trust(authority: string): void {
    this.#server.setSecureContext({ key: read('server.key'), cert: read('server.pem'), ca: read(`${authority}.pem`) });
    this.#cut();
  }

  stop(): void {
    this.#server.close();
    this.#cut();
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

const server = new TlsServer(inject('temporalAddress'));
let worker: WorkerProcess;
let made: Awaited<ReturnType<typeof makeNamespace>>;

beforeAll(async () => {
  made = await makeNamespace(inject('temporalAddress'), 'certificates');
  install('client-1');
  worker = new WorkerProcess({
    TEMPORAL_ADDRESS: await server.start(),
    TEMPORAL_NAMESPACE: made.namespace,
    TEMPORAL_TLS_SERVER_CA_PATH: join(TLS, 'server-ca.pem'),
    TEMPORAL_TLS_CLIENT_CERT_PATH: files.cert,
    TEMPORAL_TLS_CLIENT_KEY_PATH: files.key,
    WORKER_TASKS: 'Workflows',
  });
  await worker.says(/working for Temporal/);
});
afterAll(async () => {
  await worker?.kill();
  await made?.client.connection.close();
  server.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Starts a run that fails at once for its argument, which takes one workflow task of a worker. */
async function task(bucket: string): Promise<void> {
  const run = await startRun(made.client, { ...runInput(bucket), stages: [] });
  await expect(run.result()).rejects.toMatchObject({ cause: { type: 'InvalidRun' } });
}

test('a worker keeps its connection and says why, while the new certificate has expired', async () => {
  await task('2024-01-01');
  install('expired');
  await worker.says(/with it failed: the server rejects the client certificate, which expired at 2021-01-01T00:00:00Z/);
  await task('2024-01-04');
});

test('a worker takes a renewed certificate without a restart', async () => {
  server.trust('client-ca-2');
  // The former certificate is not valid any more, and the worker cannot take tasks with it.
  const waiting = await startRun(made.client, { ...runInput('2024-01-02'), stages: [] });
  install('client-2');
  await worker.says(/a TLS file has changed; connected to Temporal again/);
  await expect(waiting.result()).rejects.toMatchObject({ cause: { type: 'InvalidRun' } });
  await task('2024-01-03');
  expect((await waiting.describe()).type).toBe(WORKFLOWS.bucket);
  expect(await worker.stop()).toBe(0);
});
