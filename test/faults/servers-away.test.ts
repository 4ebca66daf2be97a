import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { BACKFILLS } from '../../operator/controllers/resources.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase } from '../support/database.ts';
import { eventually } from '../support/kube.ts';
import { Cable } from '../support/kubeconfig-proxies.ts';
import { adminClient, installCrds, makeTemporalNamespace, NAMESPACES } from '../support/operator.ts';
import { PROGRAM_ENV } from '../support/program.ts';

/**
 * Commands that a user types while servers refuse connections, or accept them and never answer. Each command has cables of its own to
 * the real servers, so the tests do not disturb each other.
 */
const NAMESPACE = 'servers-away';
const BIN = join(process.cwd(), 'cli/bin');

let dir: string;
let databaseUrl: string;
let database: ClickHouse;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-servers-away-'));
  const client = adminClient(inject('kubeconfig'));
  const [{ url, clickhouse }] = await Promise.all([
    makeDatabase(inject('clickhouseUrl'), 'servers_away'),
    makeTemporalNamespace(inject('temporalAddress'), NAMESPACE),
    installCrds(client),
  ]);
  databaseUrl = url;
  database = clickhouse;
  await client.create(NAMESPACES, { metadata: { name: NAMESPACE } });
});

const children: ChildProcess[] = [];
afterAll(async () => {
  await database?.close();
  // A command of a test that failed may still run.
  for (const child of children) child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

/** Lays a cable to each server. Returns them with the environment of a command that uses them. */
async function cables(name: string) {
  const config = parse(readFileSync(inject('kubeconfig'), 'utf8'));
  const { cluster } = config.clusters[0];
  const clickhouse = new Cable(new URL(databaseUrl).host);
  const temporal = new Cable(inject('temporalAddress'));
  const kubernetes = new Cable(new URL(cluster.server).host);
  const database = new URL(databaseUrl);
  database.host = await clickhouse.start();
  cluster.server = `https://${await kubernetes.start()}`;
  const kubeconfig = join(dir, name);
  writeFileSync(kubeconfig, stringify(config));
  const env = {
    ...PROGRAM_ENV,
    KUBECONFIG: kubeconfig,
    CLICKHOUSE_URL: database.href,
    TEMPORAL_ADDRESS: await temporal.start(),
    TEMPORAL_NAMESPACE: NAMESPACE,
    ARCHIVE_URL: join(process.cwd(), 'test/fixtures/archive'),
  };
  const all = [clickhouse, temporal, kubernetes];
  return {
    clickhouse,
    temporal,
    kubernetes,
    all,
    env,
    [Symbol.dispose]: () => all.forEach(cable => void cable.stop()),
  };
}

/** A JSON line of a command: the state of an installation or of a backfill, or a check of doctor. */
interface Printed {
  readonly clickhouse: { readonly known: boolean; readonly reason?: string; readonly name: string };
  readonly temporal: { readonly known: boolean; readonly reason?: string };
  readonly phase?: string;
  readonly unknown?: string;
  readonly check?: string;
  readonly state?: string;
}

/** A command that runs. */
class Running {
  readonly child: ChildProcess;
  readonly closed: Promise<number | null>;
  output = '';
  log = '';

  constructor(line: string, env: NodeJS.ProcessEnv) {
    const [program, ...args] = line.split(' ');
    this.child = spawn(process.execPath, [join(BIN, `${program}.mjs`), ...args], {
      cwd: dir,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(this.child);
    this.child.stdout?.setEncoding('utf8').on('data', text => (this.output += text));
    this.child.stderr?.setEncoding('utf8').on('data', text => (this.log += text));
    this.closed = once(this.child, 'close').then(([status]) => status);
  }

  /** Returns the JSON lines on stdout and stderr. */
  documents(): Printed[] {
    const lines = `${this.output}${this.log}`.split('\n').filter(line => /^\{.*\}$/.test(line));
    return lines.map(line => JSON.parse(line));
  }

  /** Waits for a further JSON line that `accept` accepts. */
  async next(accept: (document: Printed) => boolean): Promise<void> {
    const seen = this.documents().length;
    await eventually('a further line of the command', () => this.documents().slice(seen).some(accept)).catch(error => {
      throw new Error(`${error.message}\n${this.log}`);
    });
  }
}

const STACK = /^ +at /m;

describe.concurrent('while servers are away', () => {
  test.each(['refuse', 'hang'])('status says that both are unknown, when they %s', async how => {
    using lines = await cables(`status-${how}`);
    for (const cable of [lines.clickhouse, lines.temporal]) how === 'hang' ? cable.freeze() : cable.cut();
    const command = new Running('oonipipeline status -o json', lines.env);
    expect(await command.closed, command.log).toBe(1);
    const [view] = command.documents();
    expect(view?.clickhouse).toMatchObject({ known: false, reason: expect.stringContaining('does not answer') });
    expect(view?.clickhouse.name).toBe(lines.env.CLICKHOUSE_URL);
    // Several requests wait at the same time, and the first to fail gives the reason.
    expect(view?.temporal).toMatchObject({ known: false, reason: expect.stringContaining(': ') });
    expect(command.log).not.toMatch(STACK);
  });

  test.each(['refuse', 'hang'])('backfill --drop-tables drops nothing when Temporal %ss', async how => {
    await database.insert('obs_tunnel', [{ measurement_uid: `kept-${how}` }]);
    using lines = await cables(`drop-${how}`);
    how === 'hang' ? lines.temporal.freeze() : lines.temporal.cut();
    const range = '--start-at 2024-01-01 --end-at 2024-01-02';
    const line = `oonipipeline backfill ${range} --no-kubernetes --create-tables --drop-tables --yes`;
    const command = new Running(line, lines.env);
    expect(await command.closed, command.log).toBe(1);
    const kept = await database.select('SELECT 1 FROM obs_tunnel WHERE measurement_uid = {uid:String}', {
      params: { uid: `kept-${how}` },
    });
    expect(kept, command.log).toHaveLength(1);
    expect(command.log).not.toMatch(STACK);
  });

  test('a namespace that Temporal does not have is named by its setting', async () => {
    using lines = await cables('namespace');
    const command = new Running('oonipipeline status -o json', { ...lines.env, TEMPORAL_NAMESPACE: 'nowhere' });
    expect(await command.closed).toBe(1);
    expect(command.documents()[0]?.temporal.reason).toContain('Check temporal_namespace.');
  });

  test('status --watch shows a server that hangs as unknown, and shows it again afterwards', async () => {
    using lines = await cables('watch');
    const command = new Running('oonipipeline status --watch --interval 1 -o json', lines.env);
    await command.next(({ clickhouse, temporal }) => clickhouse.known && temporal.known);
    lines.clickhouse.freeze();
    await command.next(({ clickhouse, temporal }) => !clickhouse.known && temporal.known);
    lines.clickhouse.thaw();
    await command.next(({ clickhouse }) => clickhouse.known);
    command.child.kill('SIGINT');
    expect(await command.closed, command.log).toBe(0);
  });

  test('backfill watch outlives an outage of the API server', async () => {
    using lines = await cables('kubernetes');
    const client = adminClient(inject('kubeconfig'));
    const ref = { namespace: NAMESPACE, name: 'watched' };
    const spec = { startAt: '2024-01-01', endAt: '2024-01-02' };
    await client.create(BACKFILLS, { metadata: ref, spec } as never);
    const command = new Running(`kubectl-ooni backfill watch watched -n ${NAMESPACE}`, lines.env);
    await command.next(({ phase, unknown }) => phase === 'Pending' && unknown === undefined);
    lines.kubernetes.cut();
    await command.next(
      ({ phase, unknown }) => phase === 'Pending' && unknown !== undefined && /backfills\/watched/.test(unknown),
    );
    lines.kubernetes.mend();
    const status = { phase: 'Complete', observedGeneration: 1 };
    await client.patch(BACKFILLS, ref, { status }, { subresource: 'status' });
    expect(await command.closed, command.log).toBe(0);
  });

  test.each(['kubernetes', 'temporal'] as const)(
    'Ctrl-C ends the display of a backfill while %s hangs',
    async which => {
      using lines = await cables(`interrupt-${which}`);
      const range = '--start-at 2024-01-01 --end-at 2024-01-02 --follow';
      const line =
        which === 'kubernetes'
          ? `kubectl-ooni backfill create ${range} -n ${NAMESPACE}`
          : `oonipipeline backfill ${range} --no-kubernetes`;
      const command = new Running(line, lines.env);
      await command.next(({ phase }) => phase !== undefined);
      lines[which].freeze();
      command.child.kill('SIGINT');
      expect(await command.closed, command.log).toBe(1);
      expect(command.log).toContain('goes on; the display has ended');
      expect(command.log).not.toMatch(STACK);
      if (which === 'temporal') await endWorkflows();
    },
  );

  test.each(['refuse', 'hang'])('doctor names each server, when all of them %s', async how => {
    using lines = await cables(`doctor-${how}`);
    for (const cable of lines.all) how === 'hang' ? cable.freeze() : cable.cut();
    const command = new Running('kubectl-ooni doctor -o json', lines.env);
    expect(await command.closed, command.log).toBe(1);
    const states = command.documents().map(({ check, state }) => `${check}: ${state}`);
    expect(states).toEqual([
      'API server: failed',
      'Temporal: unknown',
      'ClickHouse schema: unknown',
      'ClickHouse grants: unknown',
      'archive: ok',
    ]);
    expect(command.log).toBe('');
  });
});

/** Terminates the workflows that have no worker. */
async function endWorkflows(): Promise<void> {
  const connection = await Connection.connect({ address: inject('temporalAddress') });
  const client = new Client({ connection, namespace: NAMESPACE });
  for await (const { workflowId } of client.workflow.list()) await client.workflow.getHandle(workflowId).terminate();
  await connection.close();
}
