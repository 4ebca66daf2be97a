import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { Backfill } from '../../crds/backfill.ts';
import { BACKFILLS } from '../../operator/controllers/resources.ts';
import { LEASES } from '../../operator/kube/builtin.ts';
import { freePort } from '../../pipeline/free-port.ts';
import { Cable } from '../support/kubeconfig-proxies.ts';
import { eventually, OperatorProcess } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';
import { emptyBuckets, StubWorker } from '../support/stub-worker.ts';

/* Two API servers share one etcd, and the connection of the second one freezes: it stays up, and its watches show an old state. */
const bed = new OperatorBed('stale-api-server');
const { client, namespace } = bed;
const dir = mkdtempSync(join(tmpdir(), 'ooni-stale-'));
let etcd: Cable;
let server: ChildProcess;
let stale: OperatorProcess;
let fresh: OperatorProcess;
let worker: StubWorker;
let staleEnv: Record<string, string>;

/** Returns the arguments of the API server that all tests share. */
function argumentsOfServer(): string[] {
  const pid = readFileSync(join(dirname(dirname(bed.kubeconfig)), 'kube-apiserver.pid'), 'utf8')
    .trim()
    .split(/\s/)[0];
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
}

const isReady = (port: number) =>
  new Promise<boolean>(resolve => {
    const call = request(
      { host: '127.0.0.1', port, path: '/readyz', rejectUnauthorized: false, agent: false },
      answer => {
        answer.resume();
        resolve(answer.statusCode === 200);
      },
    );
    call.on('error', () => resolve(false));
    call.end();
  });

beforeAll(async () => {
  await bed.prepare();
  const [command = '', ...args] = argumentsOfServer();
  const address = args.find(one => one.startsWith('--etcd-servers='))?.replace(/^.*\/\//, '') ?? '';
  etcd = new Cable(address);
  const etcdAddress = await etcd.start();
  const port = await freePort();
  const changed = args.map(one =>
    one.startsWith('--etcd-servers=')
      ? `--etcd-servers=http://${etcdAddress}`
      : one.startsWith('--secure-port=')
        ? `--secure-port=${port}`
        : one,
  );
  server = spawn(command, changed, { cwd: dir, stdio: 'ignore' });
  const config = parse(readFileSync(bed.env.KUBECONFIG as string, 'utf8'));
  config.clusters[0].cluster.server = `https://127.0.0.1:${port}`;
  const path = join(dir, 'kubeconfig');
  writeFileSync(path, JSON.stringify(config));
  staleEnv = { ...bed.env, KUBECONFIG: path, POD_NAME: 'stale' };
  await eventually(() => isReady(port));
  const activities = emptyBuckets(['2024-01-01', '2024-01-02'], () => true);
  worker = await StubWorker.start({ address: bed.temporalAddress, namespace, installation: 'ooni', activities });
});

afterAll(async () => {
  await stale?.kill();
  await fresh?.kill();
  server?.kill('SIGKILL');
  if (server?.exitCode === null && server.signalCode === null) await once(server, 'exit');
  etcd?.stop();
  await worker?.stop();
  await bed.stop();
  rmSync(dir, { recursive: true, force: true });
});

const COUNTRIES = ['IT', 'FR', 'ES', 'DE', 'PT'];
/** Returns the uid of a new Backfill, with a country of its own. */
async function backfill(name: string): Promise<string> {
  const spec = { startAt: '2024-01-01', endAt: '2024-01-03', probeCC: [COUNTRIES.shift()] };
  const { metadata } = await client.create(BACKFILLS, { metadata: { name, namespace }, spec } as Backfill);
  return metadata.uid;
}
const started = (name: string) =>
  eventually(async () => {
    const { status } = await client.get(BACKFILLS, { name, namespace });
    return status?.conditions?.some(one => one.reason === 'Started');
  });
const leads = (name: string) =>
  eventually(async () => {
    const leases = await client.list(LEASES, { namespace });
    return leases.some(({ spec }) => spec?.holderIdentity?.startsWith(`${name}_`));
  });
async function workflowsOf(uid: string): Promise<number> {
  let count = 0;
  for await (const { workflowId } of bed.temporal.workflow.list({ query: "WorkflowType = 'BackfillWorkflow'" })) {
    if (workflowId.endsWith(uid)) count++;
  }
  return count;
}

// It starts another API server, so only `npm run faults` runs it.
test.runIf(process.env.FAULTS)(
  'an operator with a frozen API server neither leads nor acts on the old state',
  async () => {
    stale = new OperatorProcess(staleEnv);
    await leads('stale');
    const uids = [await backfill('one')];
    await started('one');
    fresh = new OperatorProcess({ ...bed.env, POD_NAME: 'fresh' });
    await eventually(async () => fresh.output.includes('standing by'));

    etcd.freeze();
    uids.push(await backfill('two'));
    await client.delete(BACKFILLS, { name: 'one', namespace });
    await leads('fresh');
    await started('two');
    await eventually(async () => (await client.find(BACKFILLS, { name: 'one', namespace })) === undefined);
    // The frozen server still shows the former object of this name.
    uids.push(await backfill('one'));
    await started('one');
    await eventually(async () => stale.output.includes('no longer leading; starting again as a standby'));
    // A new process, too, has only the frozen server.
    await stale.kill();
    stale = new OperatorProcess(staleEnv);
    await eventually(async () => stale.output.includes('lease cannot be acquired, trying again'));
    await leads('fresh');

    etcd.thaw();
    await eventually(async () => stale.output.includes('standing by'));
    await fresh.kill();
    await leads('stale');
    uids.push(await backfill('three'));
    await started('three');
    await started('one');
    await started('two');
    for (const uid of uids) expect(await workflowsOf(uid)).toBe(1);
    expect((await client.list(BACKFILLS, { namespace })).map(({ metadata }) => metadata.uid).sort()).toEqual(
      uids.slice(1).sort(),
    );
  },
);
