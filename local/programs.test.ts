import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StartError } from './process.ts';
import { DownloadError, download } from './programs/download.ts';
import type { Module, Release } from './programs/releases.ts';
import { cacheFolder, findProgram, obtainPrograms, requireRoom } from './programs.ts';
import { Terminal } from './terminal.ts';

let dir: string;
let env: NodeJS.ProcessEnv;
let shown: string;
let terminal: Terminal;
let site: Server;
let files: Record<string, Buffer>;
let asked: string[];
/** A site that is no longer served. */
let nowhere: string;

function program(path: string, text = '#!/bin/sh\n'): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

/** Creates a tar with one file, as `tar` writes it. */
function tar(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000755\0', 100);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('ustar\0', 257);
  // The checksum is the sum of all bytes of the header, with spaces in its own place.
  header.fill(' ', 148, 156);
  const sum = header.reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512), Buffer.alloc(1024)]);
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const siteUrl = () => `http://127.0.0.1:${(site.address() as AddressInfo).port}`;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-programs-'));
  env = { PATH: join(dir, 'bin'), XDG_CACHE_HOME: join(dir, 'cache'), HOME: dir };
  shown = '';
  terminal = new Terminal({ write: text => (shown += text) });
  files = {};
  asked = [];
  site = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const file = files[request.url!];
    if (request.method === 'HEAD') response.end();
    else if (file) response.end(file);
    else response.writeHead(404).end();
  });
  await new Promise<void>(resolve => site.listen(0, '127.0.0.1', resolve));
  const gone = createServer();
  await new Promise<void>(resolve => gone.listen(0, '127.0.0.1', resolve));
  nowhere = `http://127.0.0.1:${(gone.address() as AddressInfo).port}`;
  await new Promise(resolve => gone.close(resolve));
});

afterEach(() => {
  site.close();
  rmSync(dir, { recursive: true, force: true });
});

describe('a program on this machine', () => {
  test('is searched in the environment, on PATH and in the cache, in that order', () => {
    expect(findProgram('kube-apiserver', env)).toBeUndefined();
    const cached = program(join(cacheFolder('kube-apiserver', env), 'kube-apiserver'));
    expect(findProgram('kube-apiserver', env)).toEqual({ path: cached, source: 'cache' });
    const onPath = program(join(dir, 'bin', 'kube-apiserver'));
    expect(findProgram('kube-apiserver', env)).toEqual({ path: onPath, source: 'PATH' });
    const given = program(join(dir, 'mine'));
    expect(findProgram('kube-apiserver', { ...env, OONI_KUBE_APISERVER: given })).toEqual({
      path: given,
      source: 'environment',
    });
  });

  test('must be executable', () => {
    const plain = join(dir, 'bin', 'etcd');
    mkdirSync(dirname(plain), { recursive: true });
    writeFileSync(plain, '');
    expect(findProgram('etcd', env)).toBeUndefined();
    expect(() => findProgram('etcd', { ...env, OONI_ETCD: plain })).toThrow(/OONI_ETCD names .*etcd/);
  });

  test('needs no network', async () => {
    program(join(dir, 'bin', 'etcd'));
    await obtainPrograms({
      env,
      terminal,
      names: ['etcd'],
      sites: { kubernetes: siteUrl(), github: siteUrl(), helm: siteUrl() },
    });
    expect(asked).toEqual([]);
    expect(shown).toMatch(/etcd +PATH: .*bin\/etcd/);
  });
});

describe('a download', () => {
  const release = (changes: Partial<Release> = {}): Release => ({
    site: 'github',
    path: '/tool',
    checksums: '/tool.sha256',
    ...changes,
  });
  const target = () => join(dir, 'tool');

  test('with the pinned checksum becomes a program', async () => {
    files['/tool'] = Buffer.from('#!/bin/sh\necho hello\n');
    const progress: number[] = [];
    await download(release({ sha256: sha256(files['/tool']) }), siteUrl(), target(), bytes => progress.push(bytes));
    expect(readFileSync(target())).toEqual(files['/tool']);
    expect(progress.at(-1)).toBe(files['/tool'].length);
    expect(asked).toEqual(['GET /tool']);
  });

  test('without a pinned checksum uses the published one, as a bare hash or from a list', async () => {
    files['/tool'] = Buffer.from('x');
    files['/tool.sha256'] = Buffer.from(`${sha256(files['/tool'])}\n`);
    await download(release(), siteUrl(), target(), () => {});
    files['/tool.sha256'] = Buffer.from(`${'0'.repeat(64)}  other\n${sha256(files['/tool'])}  tool\n`);
    await download(release(), siteUrl(), target(), () => {});
    expect(existsSync(target())).toBe(true);
  });

  test('with another checksum leaves no files behind', async () => {
    files['/tool'] = Buffer.from('not the program');
    const other = '0'.repeat(64);
    const result = download(release({ sha256: other }), siteUrl(), target(), () => {});
    await expect(result).rejects.toThrow(new RegExp(`SHA-256 ${sha256(files['/tool'])}, not ${other}`));
    expect(readdirSync(dir)).toEqual([]);
  });

  test('extracts one file from an archive, across chunk borders', async () => {
    const content = Buffer.alloc(3_000_001, 'ab');
    const other = tar('folder/other', Buffer.alloc(1000));
    files['/tool'] = gzipSync(Buffer.concat([other.subarray(0, -1024), tar('folder/tool', content)]));
    const inner = release({ sha256: sha256(files['/tool']), member: 'folder/tool' });
    await download(inner, siteUrl(), target(), () => {});
    expect(readFileSync(target()).equals(content)).toBe(true);
    await expect(download({ ...inner, member: 'tool' }, siteUrl(), target(), () => {})).rejects.toThrow('no tool');
    const damaged = gunzipSync(files['/tool']).fill(0xff, 0, 100);
    files['/tool'] = gzipSync(damaged);
    const broken = { ...inner, sha256: sha256(files['/tool']) };
    await expect(download(broken, siteUrl(), target(), () => {})).rejects.toThrow(DownloadError);
    expect(readdirSync(dir)).toEqual(['tool']);
  });

  test('from a site that does not answer fails with a message', async () => {
    await expect(download(release({ sha256: '' }), nowhere, target(), () => {})).rejects.toThrow(DownloadError);
  });
});

describe('the release of Jaeger', () => {
  /** As its project publishes them: one list for all files of both versions, and a program in a folder of the archive. */
  const folder = '/jaegertracing/jaeger/releases/download/v1.76.0';
  const name = `jaeger-2.13.0-linux-${process.arch === 'arm64' ? 'arm64' : 'amd64'}`;
  const content = Buffer.from('#!/bin/sh\necho jaeger\n');
  const archive = gzipSync(tar(`${name}/jaeger`, content));
  const publish = (body: Buffer) => {
    files[`${folder}/${name}.tar.gz`] = body;
    files[`${folder}/jaeger-2.13.0.sha256sum.txt`] = Buffer.from(
      [
        `${'1'.repeat(64)} *${name.replace('2.13.0', '1.76.0')}.tar.gz`,
        `${sha256(archive)} *${name}.tar.gz`,
        `${'2'.repeat(64)} *${name.replace('jaeger-', 'jaeger-tools-')}.tar.gz\n`,
      ].join('\n'),
    );
  };
  const obtain = () =>
    obtainPrograms({
      env,
      terminal,
      names: ['jaeger'],
      sites: { kubernetes: siteUrl(), github: siteUrl(), helm: siteUrl() },
    });
  const cached = () => join(cacheFolder('jaeger', env), 'jaeger');
  /** Answers requests for the archive in place of the site. */
  const answering = (answer: (response: ServerResponse) => void) => {
    const [listener] = site.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[];
    site.removeAllListeners('request');
    site.on('request', (request: IncomingMessage, response: ServerResponse) => {
      if (request.method === 'GET' && request.url?.endsWith('.tar.gz')) answer(response);
      else listener!(request, response);
    });
  };

  test('is downloaded, compared with its published checksum, and used', async () => {
    publish(archive);
    await obtain();
    expect(readFileSync(cached())).toEqual(content);
    expect(readdirSync(cacheFolder('jaeger', env))).toEqual(['jaeger']);
    expect(asked).toEqual(['HEAD /', `GET ${folder}/jaeger-2.13.0.sha256sum.txt`, `GET ${folder}/${name}.tar.gz`]);
    expect(shown).toMatch(/jaeger +downloaded from 127\.0\.0\.1/);
  });

  test.each<[string, () => void, RegExp]>([
    ['a site that refuses it', () => answering(response => response.writeHead(403).end()), /HTTP 403/],
    ['an archive without its checksum', () => { delete files[`${folder}/jaeger-2.13.0.sha256sum.txt`]; }, /sha256sum\.txt: HTTP 404/],
    ['the page of a proxy in place of the checksum', () => { files[`${folder}/jaeger-2.13.0.sha256sum.txt`] = Buffer.from('<html>\nlog in\n</html>'); }, /has no SHA-256 of jaeger-2\.13\.0/],
    ['a truncated archive whose length is announced', () => answering(response => { response.writeHead(200, { 'content-length': archive.length }); response.write(archive.subarray(0, 40), () => response.destroy()); }), /127\.0\.0\.1:\d+: /],
    ['a truncated archive without a length', () => answering(response => response.writeHead(200).end(archive.subarray(0, 40))), /has SHA-256 [0-9a-f]{64}, not [0-9a-f]{64}: it is not used/],
    ['another archive', () => publish(gzipSync(tar(`${name}/jaeger`, Buffer.from('other')))), /it is not used/],
  ])('is not used after %s: nothing remains, and the message names a remedy', async (_, damage, reason) => {
    publish(archive);
    damage();
    const failed = await obtain().then(() => undefined, error => error);
    expect(failed).toBeInstanceOf(StartError);
    expect((failed as Error).message).toMatch(reason);
    expect((failed as Error).message).toMatch(/jaeger could not be downloaded .* Install Go .* OONI_JAEGER/s);
    expect(shown).toMatch(/jaeger +not downloaded: /);
    expect(readdirSync(cacheFolder('jaeger', env))).toEqual([]);
    // The next start downloads it.
    site.removeAllListeners('request');
    site.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const file = files[request.url!];
      response.writeHead(file || request.method === 'HEAD' ? 200 : 404).end(request.method === 'HEAD' ? undefined : file);
    });
    publish(archive);
    await obtain();
    expect(readFileSync(cached())).toEqual(content);
  }); // biome-ignore format: a table
});

describe('without a download', () => {
  /** Creates a fake Go that writes its build arguments. */
  const fakeGo = (script: string) => {
    const list = 'if [ "$1" = list ]; then echo fmt; echo example.org/x; exit; fi';
    return program(join(dir, 'bin', 'go'), `#!/bin/sh\n${list}\n${script}`);
  };
  const module: Module = {
    folder: 'temporal',
    package: '.',
    program: 'temporal',
    provides: ['temporal'],
    flags: ['a.b=c'],
    minutes: 1,
  };
  const obtain = () =>
    obtainPrograms({
      env,
      terminal,
      names: ['temporal'],
      sites: { kubernetes: nowhere, github: nowhere, helm: nowhere },
      modules: [module],
    });

  test('Go builds the module, and the next start finds it in the cache', async () => {
    // Arguments: build -trimpath -ldflags FLAGS -o OUT -v PACKAGE
    fakeGo('echo "go: downloading x" >&2; echo "$4" > "$6"');
    await obtain();
    const built = join(cacheFolder('temporal', env), 'temporal');
    expect(readFileSync(built, 'utf8')).toBe('-s -w -X a.b=c\n');
    expect(shown).toMatch(/127\.0\.0\.1:\d+: connect ECONNREFUSED 127/);
    expect(findProgram('temporal', env)).toEqual({ path: built, source: 'cache' });
    expect(readdirSync(dirname(built))).toEqual(['temporal']);
  });

  test('build tags of a module are passed to Go', async () => {
    fakeGo('echo "$@" > "$6"');
    await obtainPrograms({
      env,
      terminal,
      names: ['promtool'],
      sites: { kubernetes: nowhere, github: nowhere, helm: nowhere },
      modules: [{ ...module, program: 'promtool', provides: ['promtool'], tags: 'small' }],
    });
    expect(readFileSync(findProgram('promtool', env)!.path, 'utf8')).toMatch(/ -tags small -v \.\n$/);
  });

  test('a program that need not be built stays missing, and no error is thrown', async () => {
    fakeGo('echo built > "$6"');
    await obtainPrograms({
      env,
      terminal,
      names: ['jaeger'],
      sites: { kubernetes: nowhere, github: nowhere, helm: nowhere },
      build: false,
    });
    expect(findProgram('jaeger', env)).toBeUndefined();
    expect(shown).toMatch(/jaeger +missing/);
  });

  test('two modules are built in parallel, and each reports its progress', async () => {
    // Each build waits for the other: in sequence they would never end.
    const meet = `touch "${dir}/$(basename "$PWD")"; while [ ! -e "${dir}/temporal" ] || [ ! -e "${dir}/versitygw" ]; do /bin/sleep 0.05; done`;
    fakeGo(`export PATH=/usr/bin:/bin; echo fmt >&2; ${meet}; echo built > "$6"`);
    const written: string[] = [];
    const screen = new Terminal({ isTTY: true, write: text => written.push(text) });
    const other: Module = { ...module, folder: 'versitygw', program: 'versitygw', provides: ['versitygw'] };
    await obtainPrograms({
      env,
      terminal: screen,
      names: ['temporal', 'versitygw'],
      sites: { kubernetes: nowhere, github: nowhere, helm: nowhere },
      modules: [module, other],
    });
    expect(findProgram('versitygw', env)?.source).toBe('cache');
    expect(written.join('')).toMatch(/go build temporal: 1 of 2 packages.*\n.*go build versitygw: 1 of 2 packages/);
  });

  test('a build ends when the start is stopped', async () => {
    fakeGo(`touch "${dir}/begun"; exec /bin/sleep 1000`.replace('touch', '/usr/bin/touch'));
    const stop = new AbortController();
    const obtaining = obtainPrograms({
      env,
      terminal,
      names: ['temporal'],
      sites: { kubernetes: nowhere, github: nowhere, helm: nowhere },
      modules: [module],
      signal: stop.signal,
    });
    while (!existsSync(join(dir, 'begun'))) await new Promise(resolve => setTimeout(resolve, 20));
    stop.abort(new Error('stopped'));
    await expect(obtaining).rejects.toThrow('stopped');
    expect(existsSync(join(dirname(cacheFolder('temporal', env)), 'lock'))).toBe(false);
  });

  test("a failed build reports Go's output and a remedy", async () => {
    fakeGo('echo "no required module provides package x" >&2; exit 1');
    await expect(obtain()).rejects.toThrow(/no required module provides package x[\s\S]*OONI_TEMPORAL/);
    await expect(obtain()).rejects.toThrow(StartError);
  });

  test('without Go, the error names a remedy', async () => {
    await expect(obtain()).rejects.toThrow(/temporal could not be downloaded .* Install Go .* OONI_TEMPORAL/);
  });

  test('concurrent starts build once', async () => {
    fakeGo(`echo run >> "${join(dir, 'runs')}"; /bin/sleep 0.3; echo built > "$6"`);
    await Promise.all([obtain(), obtain(), obtain()]);
    expect(readFileSync(join(dir, 'runs'), 'utf8')).toBe('run\n');
  });

  test('a lock of a process that is gone is free', async () => {
    fakeGo('echo built > "$6"');
    const lock = join(dirname(cacheFolder('temporal', env)), 'lock');
    mkdirSync(dirname(lock), { recursive: true });
    writeFileSync(lock, '999999999 1\n');
    await obtain();
    expect(existsSync(lock)).toBe(false);
  });
});

test('a folder that cannot be created is named with the setting that names it', () => {
  expect(() => requireRoom('/proc/nowhere/cache', 1, 'building with Go')).toThrow(
    /^building with Go needs the folder \/proc\/nowhere\/cache, which cannot be created: .* Let XDG_CACHE_HOME name another one\.$/,
  );
});
