import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { connectionSource } from '../../operator/kube/config.ts';
import { temporaryDirectory } from '../support/archive.ts';

type Environment = Readonly<Record<string, string>>;

const COMMANDS: Readonly<Record<string, { args: readonly string[]; env: (server: string) => Environment }>> = {
  ClickHouse: { args: ['sql', 'SELECT 1'], env: server => ({ CLICKHOUSE_URL: server }) },
  archive: {
    args: ['transform', 's3://bucket/raw/x.jsonl.gz'],
    env: server => ({
      ...{ ARCHIVE_ENDPOINT: server, ARCHIVE_PATH_STYLE: 'true' },
      ...{ ARCHIVE_ACCESS_KEY_ID: 'a', ARCHIVE_SECRET_ACCESS_KEY: 'b' },
    }),
  },
};

/** Runs a command. Returns what it prints, in one line. */
function oonipipeline(args: readonly string[], env: Environment): string {
  const program = join(import.meta.dirname, '../../cli/bin/oonipipeline.mjs');
  const { stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    cwd: temporaryDirectory(),
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NO_COLOR: '1', ...env },
  });
  return `${stdout}${stderr}`.replaceAll(/\s+/g, ' ');
}

// The API server has a certificate of an authority that only its kubeconfig names.
test.each(Object.entries(COMMANDS))(
  '%s with a certificate of a private authority: the message says how to trust it',
  async (_, { args, env }) => {
    const { server, tls } = await connectionSource({ kubeconfig: inject('kubeconfig') })();
    const authority = join(temporaryDirectory(), 'ca.crt');
    writeFileSync(authority, tls.ca as string | Buffer);
    const printed = oonipipeline(args, env(server));
    expect(printed).toContain('name a file with the certificate of the authority (PEM) in NODE_EXTRA_CA_CERTS');
    expect(printed).not.toContain('start ClickHouse');
    const answered = oonipipeline(args, { ...env(server), NODE_EXTRA_CA_CERTS: authority });
    expect(answered).not.toBe('');
    expect(answered).not.toContain('authority');
  },
);
