import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { connectionSource, KubeConfigError } from './config.ts';

const root = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
let dir: string;
let count = 0;
beforeEach(() => {
  dir = join(root, String(count++));
  mkdirSync(dir);
});
afterAll(() => rmSync(root, { recursive: true }));

function kubeconfig(name: string, user: object, options: { cluster?: object; namespace?: string } = {}): string {
  const file = join(dir, name);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server: `https://${name}.test:6443/`, ...options.cluster } }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name, namespace: options.namespace } }],
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

describe('a kubeconfig', () => {
  it('gives server, namespace, token and authority', async () => {
    const ca = Buffer.from('CA').toString('base64');
    const file = kubeconfig('one', { token: 'T' }, { cluster: { 'certificate-authority-data': ca }, namespace: 'n' });
    expect(await connectionSource({ kubeconfig: file, env: {} })()).toEqual({
      server: 'https://one.test:6443',
      namespace: 'n',
      headers: { authorization: 'Bearer T' },
      tls: { ca: 'CA' },
    });
  });

  it('gives client certificates, the expected server name, and a proxy', async () => {
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const user = { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') };
    const cluster = {
      'tls-server-name': 'other.test',
      'proxy-url': 'http://proxy.test:3128',
      'insecure-skip-tls-verify': true,
    };
    const connection = await connectionSource({ kubeconfig: kubeconfig('two', user, { cluster }), env: {} })();
    expect(connection).toMatchObject({
      namespace: 'default',
      headers: {},
      tls: { cert: 'CERT', key: 'KEY', servername: 'other.test', rejectUnauthorized: false },
      proxy: 'http://proxy.test:3128',
    });
  });

  it('runs the exec plugin again on each reading', async () => {
    const plugin = join(dir, 'plugin');
    const counter = join(dir, 'counter');
    writeFileSync(
      plugin,
      `#!/bin/sh\necho x >> ${counter}\nn=$(wc -l < ${counter})\necho "{\\"kind\\":\\"ExecCredential\\",\\"status\\":{\\"token\\":\\"T$((n))\\"}}"\n`,
    );
    chmodSync(plugin, 0o755);
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: plugin };
    const source = connectionSource({ kubeconfig: kubeconfig('three', { exec }), env: {} });
    expect((await source()).headers.authorization).toBe('Bearer T1');
    expect((await source()).headers.authorization).toBe('Bearer T2');
  });

  it('reads the file again each time: tokens rotate', async () => {
    const file = kubeconfig('four', { token: 'old' });
    const source = connectionSource({ kubeconfig: file, env: {} });
    expect((await source()).headers.authorization).toBe('Bearer old');
    kubeconfig('four', { token: 'new' });
    expect((await source()).headers.authorization).toBe('Bearer new');
  });

  it('is found by KUBECONFIG; several files are merged, and the first gives the context', async () => {
    const files = [kubeconfig('a', { token: 'A' }), kubeconfig('b', { token: 'B' })];
    const env = { KUBECONFIG: files.join(':') };
    expect((await connectionSource({ env })()).server).toBe('https://a.test:6443');
    expect((await connectionSource({ env, context: 'b' })()).headers.authorization).toBe('Bearer B');
  });

  it('is found in the home directory', async () => {
    mkdirSync(join(dir, '.kube'));
    kubeconfig('.kube/config', { token: 'H' });
    expect((await connectionSource({ env: { HOME: dir } })()).headers.authorization).toBe('Bearer H');
  });

  it('names the error without secrets', async () => {
    const missing = connectionSource({ kubeconfig: join(dir, 'none'), env: {} });
    await expect(missing()).rejects.toThrow(/none cannot be read: ENOENT/);
    writeFileSync(join(dir, 'broken'), 'users:\n- user:\n    token: "SECRET\n  x: [');
    const broken = connectionSource({ kubeconfig: join(dir, 'broken'), env: {} });
    const error = await broken().catch(caught => caught);
    expect(error).toBeInstanceOf(KubeConfigError);
    expect(`${error.stack} ${error.cause}`).not.toContain('SECRET');
    const other = connectionSource({ kubeconfig: kubeconfig('five', {}), context: 'nowhere', env: {} });
    await expect(other()).rejects.toThrow('context "nowhere" names no cluster; choose one of five');
    writeFileSync(join(dir, 'empty'), '');
    await expect(connectionSource({ kubeconfig: join(dir, 'empty'), env: {} })()).rejects.toThrow(/empty/);
    writeFileSync(join(dir, 'other'), '{"kind":"Config"}');
    const none = connectionSource({ kubeconfig: join(dir, 'other'), env: {} });
    await expect(none()).rejects.toThrow('other has no context');
    expect(() => connectionSource({ env: { HOME: join(dir, 'nobody') } })).toThrow(/set KUBECONFIG, run in a pod/);
  });
});

describe('a pod', () => {
  it('uses its service account, read again each time', async () => {
    const account = join(dir, 'var/run/secrets/kubernetes.io/serviceaccount');
    mkdirSync(account, { recursive: true });
    for (const [name, value] of [
      ['token', 'T1\n'],
      ['ca.crt', 'CA'],
      ['namespace', 'ooni'],
    ] as const) {
      writeFileSync(join(account, name), value);
    }
    const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443', HOME: dir };
    const source = connectionSource({ env, root: dir });
    expect(await source()).toEqual({
      server: 'https://[fd00::1]:443',
      namespace: 'ooni',
      headers: { authorization: 'Bearer T1' },
      tls: { ca: 'CA' },
    });
    writeFileSync(join(account, 'token'), 'T2');
    expect((await source()).headers.authorization).toBe('Bearer T2');
    rmSync(join(account, 'token'));
    await expect(source()).rejects.toThrow('service account has no readable token');
  });
});
