import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { MIGRATIONS } from '../../pipeline/migrations/migrations.ts';
import { until } from './command.ts';
import { imageSize, megabytes, usage } from './figures.ts';
import { jaegerImage, traceOf } from './jaeger.ts';
import { CHART, type Found, type Kube, RELEASE } from './kube.ts';
import { imageValues, type Place } from './place.ts';
import { query, type Rows, rowsOf, sameRows, shown } from './rows.ts';
import { RANGE, type Servers } from './servers.ts';
import type { Steps } from './table.ts';
import type { TemporalServices } from './temporal.ts';
import { secondInstallation } from './two-installations.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const OPERATOR = 'ooni-ooni-pipeline-operator';
const OPERATOR_PODS = 'app.kubernetes.io/component=operator';
const DATABASE = 'cluster';
/** Largest image of operator and workers, in bytes. */
const LARGEST = 350e6;
/** A day without objects. */
const EMPTY = { startAt: '2022-01-01', endAt: '2022-01-02' };
/** Prints the version of the program in a pod. */
const VERSION_COMMAND = ['/nodejs/bin/node', '-p', "JSON.parse(fs.readFileSync('/app/package.json')).version"];
const RESTRICTED = { 'pod-security.kubernetes.io/enforce': 'restricted' };

/** What the steps use. Each is there once its step has run. */
export interface Context {
  place(): Place;
  servers(): Servers;
  kube(): Kube;
  /** The namespace of a second installation. */
  other(): Kube;
  /** Whether there is a second installation. */
  readonly two: boolean;
  /** Temporal's services in the cluster; undefined: the development server. */
  temporal(): TemporalServices | undefined;
  /** Rows of the command `oonipipeline run`. */
  reference(): Promise<Rows>;
}

/** Runs the steps from the image to the second installation. */
export async function installationSteps(steps: Steps, context: Context): Promise<void> {
  const { place, servers, kube, other, temporal, reference } = context;
  const { appVersion } = parse(readFileSync(join(CHART, 'Chart.yaml'), 'utf8')) as { appVersion: string };
  const { jaeger } = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as {
    jaeger: { image: Record<'registry' | 'repository' | 'tag', string> };
  };
  let traces = false;
  const repository = 'ghcr.io/ooni/pipeline';
  const next = `${appVersion}-next`;
  const now = () => place().given ?? `${repository}:${appVersion}`;
  const later = () => place().given ?? `${repository}:${next}`;
  /** Values of the release, with an image and the largest number of pods. */
  const values = (image: string, maxReplicas: number) => {
    return {
      image: imageValues(image),
      settings: servers().settings,
      ...(temporal() && { temporal: temporal()!.values }),
      jaeger: { enabled: traces },
      // Installations of others may be in the cluster.
      operator: { watchNamespaces: [kube().namespace, other().namespace] },
      credentials: { values: { clickhouse_url: servers().clickhouseUrl(DATABASE) } },
      workers: {
        pools: {
          workflows: { tasks: ['Workflows'], replicas: 1, drainTimeout: '20s' },
          activities: {
            tasks: ['Activities'],
            // With one slot for each pod, several tasks at a time need several pods.
            slots: 1,
            drainTimeout: '20s',
            autoscaling: {
              minReplicas: 0,
              maxReplicas,
              cooldown: '10s',
              // No pod is removed before those that were created with it are ready.
              scaleDown: { stabilization: '30s', podsPerMinute: 10 },
            },
          },
        },
      },
    };
  };
  const release = (verb: 'install' | 'upgrade', image: string, maxReplicas: number) =>
    kube().release(verb, values(image, maxReplicas), '10m');
  const rows = () => rowsOf(servers().clickhouse, DATABASE);
  /** Checks that the rows are those of the command. */
  const complete = async () => {
    const found = await rows();
    sameRows(found, await reference());
    return shown(found);
  };
  /** Waits until the operator has created the pools and the workflow workers are ready. The lease of an uninstalled leader ends first. */
  const poolsReady = async () => {
    await until('both pools', async () => (await kube().list('workerpools')).length === 2);
    await kube().wait('Ready', 'workerpool/workflows', 300);
  };
  const noPods = (pool: string) =>
    until(
      `no pods of the pool ${pool}`,
      async () => (await kube().list('pods', `pipeline.ooni.org/pool=${pool}`)).length === 0,
    );
  const backfill = async (name: string, spec: object) => {
    await kube().apply({
      apiVersion: 'pipeline.ooni.org/v1alpha1',
      kind: 'Backfill',
      metadata: { name },
      spec: { ...RANGE, ...spec },
    });
  };
  const resource = async (kind: string, name: string): Promise<Found> => {
    const found = await kube().get(kind, name);
    if (!found) throw new Error(`there is no ${kind} ${name}`);
    return found;
  };

  await steps.step('image of operator and workers', async () => {
    if (!place().given) await place().image(now(), join(ROOT, 'images', 'Dockerfile'), ROOT);
    return now();
  });
  await steps.step('image of the next version', async () => {
    if (place().given) return `${later()}, as given`;
    const dir = mkdtempSync(join(tmpdir(), 'ooni-image-'));
    try {
      const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as object;
      writeFileSync(join(dir, 'package.json'), JSON.stringify({ ...manifest, version: next }));
      writeFileSync(
        join(dir, 'Dockerfile'),
        `FROM ${now()}\nCOPY package.json /app/package.json\nLABEL org.opencontainers.image.version=${next}\n`,
      );
      await place().image(later(), join(dir, 'Dockerfile'), dir);
    } finally {
      rmSync(dir, { recursive: true });
    }
    return later();
  });
  await steps.step('image of Jaeger', async () => {
    const { registry, repository, tag } = jaeger.image;
    traces = await jaegerImage(place(), `${registry}/${repository}:${tag}`);
    return traces ? tag : 'left out: this machine has no program jaeger (npx node local/obtain.ts jaeger)';
  });
  await steps.step('namespaces that enforce the restricted Pod Security Standard', async () => {
    for (const { namespace } of [kube(), other()]) {
      await kube().apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: RESTRICTED } });
    }
    if (temporal()) await kube().apply(temporal()!.secret);
    else await place().volume?.(kube().namespace, 'ooni-ooni-pipeline-temporal');
    return `${kube().namespace}, ${other().namespace}`;
  });
  await steps.step('helm install --wait', async () => {
    await release('install', now(), 3);
    const operators = await kube().list('pods', OPERATOR_PODS);
    if (operators.length !== 2) throw new Error(`${operators.length} operator pods instead of 2`);
    return `leader ${await kube().leader()}`;
  });
  await steps.step('size of the image', async () => {
    const size = await until('the image in the status of a node', () => imageSize(kube(), now()));
    if (size > LARGEST) throw new Error(`${megabytes(size)}, more than ${megabytes(LARGEST)}`);
    return megabytes(size);
  });
  await steps.step('the operator creates the default pools, and the tables, which no worker does yet', async () => {
    await poolsReady();
    await noPods('activities');
    const recorded = await until('all migrations', async () => {
      const [count] = await query<{ n: string | number }>(
        servers().clickhouse,
        `SELECT uniqExact(number) AS n FROM ${DATABASE}.pipeline_migrations`,
      );
      return Number(count?.n) === MIGRATIONS.length && MIGRATIONS.length;
    });
    return `activities: 0 pods without work; ${recorded} migrations`;
  });
  await steps.step('a Backfill without objects starts a worker, which loads the reference data', async () => {
    await backfill('empty', EMPTY);
    await kube().wait('Complete', 'backfill/empty', 600);
    await until('fingerprints in ClickHouse', async () => {
      const [count] = await query<{ n: string | number }>(
        servers().clickhouse,
        `SELECT count() AS n FROM ${DATABASE}.fingerprints_dns`,
      );
      return Number(count?.n) > 0;
    });
    await noPods('activities');
    return '0 pods after it';
  });
  await steps.step('memory and CPU of each idle pod', () => usage(kube()));
  await steps.step('a Backfill; the pool scales from 0 to N', async () => {
    await backfill('first', { maxActiveRuns: 4 });
    // The number depends on the duration of the tasks, which the operator measures, and so on the machine.
    const ready = await until('a ready pod of the pool activities', async () => {
      const { readyReplicas = 0 } = (await resource('workerpool', 'activities')).status ?? {};
      return readyReplicas > 0 && readyReplicas;
    });
    const { desiredReplicas } = (await resource('workerpool', 'activities')).status!;
    return `${ready} ready, ${desiredReplicas} desired`;
  });
  await steps.step('kubectl wait --for=condition=Complete; rows equal those of the command', async () => {
    await kube().wait('Complete', 'backfill/first', 1200);
    return complete();
  });
  await steps.step('the trace of the Backfill, from the query API of Jaeger', async () => {
    if (!traces) return 'left out: Jaeger is not installed';
    const { progress } = (await resource('backfill', 'first')).status!;
    return traceOf(kube(), 'first', progress!.succeeded!);
  });
  await steps.step('the pool scales from N to 0', async () => {
    await noPods('activities');
    return '0 pods';
  });
  await steps.step('a worker pod and the leader are killed in the middle; the same rows', async () => {
    await backfill('second', { maxActiveRuns: 1, reprocess: 'All' });
    await kube().backfillReaches('second', 1);
    const [pod] = await until('a pod of the pool activities', async () => {
      const pods = await kube().poolPods('activities');
      return pods.length > 0 && pods;
    });
    const leader = await kube().leader();
    const kill = (pod: string) => kube().kubectl(['delete', 'pod', pod, '--grace-period=0', '--force', '--wait=false']);
    await kill(pod!.metadata.name);
    await kill(leader);
    const successor = await until('another leader', async () => {
      const holder = await kube().leader();
      return holder !== leader ? holder : undefined;
    });
    await kube().wait('Complete', 'backfill/second', 1200);
    return `${successor} leads; ${await complete()}`;
  });
  await steps.step('helm upgrade to the next image with a running backfill, which goes on', async () => {
    await backfill('third', { maxActiveRuns: 1, reprocess: 'All' });
    await kube().backfillReaches('third', 1);
    await release('upgrade', later(), 2);
    await until('the pool has the new values', async () => {
      const pool = await resource('workerpool', 'activities');
      return (pool.spec?.autoscaling as { maxReplicas?: number })?.maxReplicas === 2;
    });
    await kube().wait('Complete', 'backfill/third', 1200);
    const { progress } = (await resource('backfill', 'third')).status!;
    if (progress?.failed) throw new Error(`${progress.failed} buckets failed`);
    if (!place().given) {
      // The workers of the next version have ended the backfill: its workflow needs one of them for each bucket.
      await kube().kubectl(['rollout', 'status', 'deployment/ooni-worker-workflows', '--timeout=5m']);
      for (const selector of [OPERATOR_PODS, 'pipeline.ooni.org/pool=workflows']) {
        await until(`pods ${selector} of version ${next} alone`, async () => {
          const versions = await Promise.all(
            (await kube().list('pods', selector)).map(pod =>
              kube().kubectl(['exec', pod.metadata.name, '--', ...VERSION_COMMAND]),
            ),
          );
          return versions.length > 0 && versions.every(version => version.trim() === next);
        });
      }
    }
    return complete();
  });
  await steps.step('helm rollback', async () => {
    await kube().helm(['rollback', RELEASE, '1', '--wait', '--timeout', '10m']);
    await until('the pool has the old values', async () => {
      const pool = await resource('workerpool', 'activities');
      return (pool.spec?.autoscaling as { maxReplicas?: number })?.maxReplicas === 3;
    });
    const image = await kube().kubectl([
      'get',
      'deployment',
      OPERATOR,
      '-o',
      'jsonpath={.spec.template.spec.containers[0].image}',
    ]);
    if (image !== now()) throw new Error(`the operator has the image ${image}`);
    await kube().kubectl(['rollout', 'status', 'deployment/ooni-worker-workflows', '--timeout=5m']);
    return image;
  });
  await steps.step('helm uninstall; rows, Backfills and definitions stay', async () => {
    await kube().helm(['uninstall', RELEASE, '--wait', '--timeout', '5m']);
    // The Job of a hook is not part of the release.
    const running = ['get', 'pods', '--field-selector=status.phase!=Succeeded', '-o', 'name'];
    await until('no running pods', async () => (await kube().kubectl(running)) === '');
    const backfills = await kube().list('backfills');
    if (backfills.length !== 4) throw new Error(`${backfills.length} Backfills instead of 4`);
    await complete();
    return 'no running pods, 4 Backfills';
  });
  await steps.step('a second helm install continues with them', async () => {
    await release('install', now(), 3);
    await poolsReady();
    await backfill('fourth', { maxActiveRuns: 2 });
    await kube().wait('Complete', 'backfill/fourth', 600);
    const { plan } = (await resource('backfill', 'fourth')).status! as { plan: { toRun: number; skipped: object } };
    if (plan.toRun !== 0) throw new Error(`${plan.toRun} buckets to run, although the ledger records all`);
    await complete();
    return `the ledger skips all buckets: ${JSON.stringify(plan.skipped)}`;
  });
  if (context.two) {
    await steps.step('two installations; both run a Backfill; one is uninstalled, and the other goes on', async () => {
      const found = await secondInstallation({
        first: kube(),
        second: other(),
        servers: servers(),
        image: imageValues(now()),
        database: DATABASE,
        reference: await reference(),
      });
      await complete();
      return found;
    });
  }
  await steps.step('deleting the Backfills ends, and leaves the rows', async () => {
    await kube().kubectl(['delete', 'backfills', '--all', '--timeout=3m']);
    return complete();
  });
}
