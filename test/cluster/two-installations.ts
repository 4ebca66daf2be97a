import { INSTALLATION_LABEL } from '../../crds/resource.ts';
import { until } from './command.ts';
import { type Kube, RELEASE } from './kube.ts';
import type { ImageValues } from './place.ts';
import { query, type Rows, rowsOf, sameRows } from './rows.ts';
import { RANGE, type Servers } from './servers.ts';

/** Name of the second installation, and its database. The first has the default name. */
const [INSTALLATION, DATABASE] = ['cluster-test-other', 'other'];
/** A day with objects. */
const DAY = { startAt: '2024-01-22', endAt: '2024-01-23', probeCC: RANGE.probeCC };

interface Installations {
  /** Namespace with the release of the first installation, whose operator watches that of the second too. */
  readonly first: Kube;
  readonly second: Kube;
  readonly servers: Servers;
  readonly image: ImageValues;
  /** Database of the first installation. */
  readonly database: string;
  /** Rows that both must write. */
  readonly reference: Rows;
}

/**
 * Installs a second installation beside the first one. Each operator sees the resources of both, both share the definitions and a namespace
 * of Temporal. Both run a Backfill of the same name at the same time. Then the second one is uninstalled while the first one runs another
 * Backfill. Throws an error when an installation has worked for the other or has changed its resources.
 */
export async function secondInstallation(options: Installations): Promise<string> {
  const { first, second, servers, database, reference } = options;
  const before = await pools(first);
  await second.release('install', secondValues(options), '5m');
  await until('the pool of the second installation', async () => (await second.list('workerpools')).length === 1);
  await second.wait('Ready', 'workerpool/main', 300);

  await apply(first, 'both', { ...RANGE, reprocess: 'All' });
  await apply(second, 'both', RANGE, { [INSTALLATION_LABEL]: INSTALLATION });
  await Promise.all([first, second].map(kube => kube.wait('Complete', 'backfill/both', 600)));
  sameRows(await rowsOf(servers.clickhouse, DATABASE), reference);
  await onlyRunsOf(servers, DATABASE, `${INSTALLATION}/backfill/${second.namespace}/both/`);
  await onlyRunsOf(servers, database, `ooni/backfill/${first.namespace}/`);

  // Its operator removes the finalizers.
  await second.kubectl(['delete', 'backfills', '--all', '--timeout=3m']);
  if (!(await first.get('backfill', 'both'))) throw new Error('the Backfill of the first installation is gone too');
  await apply(first, 'alone', { ...DAY, reprocess: 'All' });
  await second.helm(['uninstall', RELEASE, '--wait', '--timeout', '5m']);
  await first.wait('Complete', 'backfill/alone', 600);
  const { progress } = (await first.get('backfill', 'alone'))!.status!;
  if (progress?.succeeded !== 1)
    throw new Error(`the Backfill beside the uninstallation has ${JSON.stringify(progress)}`);
  await until('no pods of the second installation', async () => (await second.list('pods')).length === 0);
  const after = await pools(first);
  if (after !== before) throw new Error(`the pools of the first installation are ${after} instead of ${before}`);
  await second.kubectl(['delete', 'namespace', second.namespace, '--wait', '--timeout=5m']);
  return `the same rows in the databases ${database} and ${DATABASE}`;
}

/** Values of the second release. Its operator watches all namespaces, and takes only resources with the label of its installation. */
function secondValues({ first, servers, image }: Installations): object {
  return {
    image,
    settings: { ...servers.settings, installation: INSTALLATION },
    // The first release owns the definitions.
    crds: { install: false },
    operator: { replicas: 1, claimUnlabelled: false },
    credentials: { values: { clickhouse_url: servers.clickhouseUrl(DATABASE) } },
    temporal: {
      mode: 'external',
      external: { address: `${RELEASE}-ooni-pipeline-temporal-frontend.${first.namespace}.svc:7233` },
    },
    workers: {
      pools: { workflows: null, activities: null, main: { replicas: 1, drainTimeout: '20s' } },
    },
  };
}

async function apply(kube: Kube, name: string, spec: object, labels = {}): Promise<void> {
  await kube.apply({ apiVersion: 'pipeline.ooni.org/v1alpha1', kind: 'Backfill', metadata: { name, labels }, spec });
}

/** Returns the pools with what another operator could have changed: identity, spec and labels. */
async function pools(kube: Kube): Promise<string> {
  const found = await kube.list('workerpools');
  return JSON.stringify(found.map(({ metadata: { name, uid, labels }, spec }) => [name, uid, labels, spec]));
}

/** Checks that all runs in the ledger of a database are those of workflows whose ids begin with a text. */
async function onlyRunsOf(servers: Servers, database: string, prefix: string): Promise<void> {
  const workflows = await query<{ backfill: string }>(
    servers.clickhouse,
    `SELECT DISTINCT backfill FROM ${database}.pipeline_runs`,
  );
  const others = workflows.filter(({ backfill }) => !backfill.startsWith(prefix));
  if (workflows.length === 0 || others.length > 0) {
    throw new Error(
      `the ledger of ${database} has runs of ${others.map(({ backfill }) => backfill).join(', ') || 'no one'}`,
    );
  }
}
