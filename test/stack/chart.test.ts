import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { OPERATOR_SELECTOR } from '../../cli/kubectl/operator-selector.ts';
import { KUBERNETES_VERSION } from '../../local/programs/releases.ts';
import { CHART_PROGRAMS, obtainPrograms, programPath } from '../../local/programs.ts';
import { restrictionsBroken } from '../support/pod-security.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..');
const CHART = join(ROOT, 'helm/ooni-pipeline');
const CRDS = join(ROOT, 'helm/ooni-pipeline-crds');
const PROFILES = readdirSync(join(CHART, 'ci')).sort();
const MINIMAL = ['-f', join(CHART, 'ci/minimal-values.yaml')];

interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  // The fields depend on the kind.
  // biome-ignore lint/suspicious/noExplicitAny: a test reads only what it expects
  [field: string]: any;
}

async function helm(...args: string[]): Promise<string> {
  const { stdout } = await run(programPath('helm'), args, { maxBuffer: 1e8 });
  return stdout;
}
const objectsOf = (text: string) =>
  parseAllDocuments(text, { uniqueKeys: true })
    .map(document => {
      if (document.errors.length > 0) throw document.errors[0];
      return document.toJSON() as Manifest | null;
    })
    .filter(object => object !== null);
const render = async (...args: string[]) =>
  objectsOf(await helm('template', 'ooni', CHART, '--namespace', 'pipeline', ...args));
const profile = (name: string) => ['-f', join(CHART, 'ci', name)];
/** Renders with values that must be rejected. Returns the message. */
const rejected = async (...args: string[]) => {
  const failure = await render(...args).then(
    () => undefined,
    (error: { stderr?: string }) => error.stderr,
  );
  if (failure === undefined) throw new Error(`${args.join(' ')} was not rejected`);
  return failure;
};
const find = (objects: Manifest[], kind: string, name: RegExp | string) => {
  const found = objects.find(
    object =>
      object.kind === kind &&
      (typeof name === 'string' ? object.metadata.name === name : name.test(object.metadata.name)),
  );
  if (!found) throw new Error(`there is no ${kind} ${name}`);
  return found;
};

beforeAll(async () => {
  await obtainPrograms({ names: CHART_PROGRAMS });
}, 1_500_000);

describe.each(PROFILES)('profile %s', name => {
  test('passes helm lint --strict', async () => {
    await helm('lint', '--strict', CHART, ...profile(name));
  });

  test('is rendered equally twice, and by Helm 3.19', async () => {
    // Each Helm assumes another version of Kubernetes unless one is given.
    const args = ['template', 'ooni', CHART, '--namespace', 'pipeline', '--kube-version', KUBERNETES_VERSION];
    args.push(...profile(name));
    const first = await helm(...args);
    expect(await helm(...args)).toBe(first);
    const { stdout } = await run(programPath('helm-3'), args, { maxBuffer: 1e8 });
    const sorted = (text: string) => objectsOf(text).sort((a, b) => (identity(a) < identity(b) ? -1 : 1));
    expect(sorted(stdout)).toEqual(sorted(first));
  });

  test('has names, labels and selectors that fit together', async () => {
    const objects = await render(...profile(name));
    expect(new Set(objects.map(identity)).size).toBe(objects.length);
    for (const object of objects) {
      if (object.metadata.name === 'extra') continue;
      const longest = /Role(Binding)?$/.test(object.kind) ? 253 : 63;
      expect(object.metadata.name.length, identity(object)).toBeLessThanOrEqual(longest);
      expect(object.metadata.labels, identity(object)).toMatchObject({ 'app.kubernetes.io/part-of': 'ooni-pipeline' });
      if (object.kind !== 'Deployment') continue;
      expect(object.spec.template.metadata.labels, identity(object)).toMatchObject(object.spec.selector.matchLabels);
    }
  });

  test('keeps every pod within the restricted Pod Security Standard, with a read-only root', async () => {
    const objects = await render(...profile(name));
    const pods = objects.flatMap(object => {
      const spec = object.spec?.template?.spec;
      return spec?.containers ? [{ at: identity(object), spec }] : [];
    });
    expect(pods.length).toBeGreaterThan(0);
    for (const { at, spec } of pods) {
      expect(restrictionsBroken(spec), at).toEqual([]);
      for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
        expect(container.securityContext.readOnlyRootFilesystem, `${at} ${container.name}`).toBe(true);
        expect(container.resources?.requests, `${at} ${container.name}`).toBeDefined();
        expect(container.image, at).not.toMatch(/bitnami|:latest$/);
      }
    }
  });

  test('has pools that the schema of WorkerPools accepts', async () => {
    const pools = find(await render(...profile(name)), 'ConfigMap', /-pools$/).data as Record<string, string>;
    const { WORKER_POOL } = await import('../../crds/worker-pool.ts');
    for (const [pool, text] of Object.entries(pools)) {
      const result = WORKER_POOL.spec.safeParse(parse(text));
      expect(result.error?.issues ?? [], pool).toEqual([]);
    }
  });
});

describe('the definitions', () => {
  test('are those of crds/yaml in both charts, and are kept', async () => {
    const own = objectsOf(await helm('template', 'crds', CRDS));
    const inside = (await render(...MINIMAL)).filter(object => object.kind === 'CustomResourceDefinition');
    expect(own.map(object => object.spec)).toEqual(inside.map(object => object.spec));
    expect(own.length).toBe(3);
    for (const object of [...own, ...inside]) {
      expect(object.metadata.annotations).toEqual({ 'helm.sh/resource-policy': 'keep' });
    }
    await helm('lint', '--strict', CRDS);
  });

  test('are left out with crds.install=false, and get annotations', async () => {
    const without = await render(...MINIMAL, '--set', 'crds.install=false');
    expect(without.some(object => object.kind === 'CustomResourceDefinition')).toBe(false);
    const other = await render(...MINIMAL, '--set', 'crds.keep=false', '--set', 'crds.annotations.a=b');
    const definition = find(other, 'CustomResourceDefinition', /^backfills/);
    expect(definition.metadata.annotations).toEqual({ a: 'b' });
  });
});

test('kubectl ooni finds the operator of the chart, and its pods', async () => {
  const { metadata, spec } = find(await render(...MINIMAL), 'Deployment', /operator$/);
  for (const label of OPERATOR_SELECTOR.split(',')) {
    const [name = '', value] = label.split('=');
    expect([metadata.labels?.[name], spec.template.metadata.labels[name]]).toEqual([value, value]);
  }
});

describe('permissions', () => {
  test('are a ClusterRole for all namespaces, or a Role in each of those that it watches', async () => {
    const all = await render(...MINIMAL);
    const { rules } = find(all, 'ClusterRole', 'pipeline-ooni-ooni-pipeline-operator');
    const { OPERATOR_RULES, workerSettingsRules } = await import('../../operator/rbac.ts');
    const settings = workerSettingsRules('ooni-ooni-pipeline', 'ooni-ooni-pipeline');
    expect(rules).toEqual([...OPERATOR_RULES, ...settings]);
    const listed = await render(...profile('production-values.yaml'));
    expect(listed.filter(object => object.kind === 'ClusterRoleBinding')).toEqual([]);
    const roles = listed.filter(object => object.kind === 'Role' && object.rules.length === rules.length);
    expect(roles.map(role => role.metadata.namespace)).toEqual(['team-a', 'team-b', 'pipeline']);
    const env = find(listed, 'Deployment', /operator$/).spec.template.spec.containers[0].env;
    expect(env).toContainEqual({ name: 'OPERATOR_NAMESPACES', value: 'team-a,team-b,pipeline' });
  });

  test('for ConfigMaps are limited to the pools of the release', async () => {
    const { rules } = find(await render(...MINIMAL), 'Role', 'ooni-ooni-pipeline-operator');
    expect(rules).toContainEqual({
      apiGroups: [''],
      resources: ['configmaps'],
      verbs: ['get'],
      resourceNames: ['ooni-ooni-pipeline-pools'],
    });
  });
});

test('labels of a part replace common ones with the same key', async () => {
  const args = ['commonLabels.team=all', 'operator.podLabels.team=one', 'monitoring.prometheusRule.labels.team=two'];
  const objects = await render(
    ...MINIMAL,
    ...args.flatMap(value => ['--set', value]),
    '--set',
    'monitoring.prometheusRule.enabled=true',
  );
  const operator = find(objects, 'Deployment', /operator$/);
  expect(operator.metadata.labels).toMatchObject({ team: 'all' });
  expect(operator.spec.template.metadata.labels).toMatchObject({ team: 'one' });
  expect(find(objects, 'PrometheusRule', /pipeline$/).metadata.labels).toMatchObject({ team: 'two' });
});

test('the alert about the leader names the lease of the installation', async () => {
  const expression = async (...args: string[]) => {
    const objects = await render(...MINIMAL, '--set', 'monitoring.prometheusRule.enabled=true', ...args);
    const { groups } = find(objects, 'PrometheusRule', /pipeline$/).spec as {
      groups: { rules: { alert: string; expr: string }[] }[];
    };
    return groups[0]!.rules.find(({ alert }) => alert === 'OoniNoLeader')!.expr;
  };
  expect(await expression()).toContain('name="ooni-operator-ooni"');
  const east = await expression('--set', 'settings.installation=east');
  expect(east).toContain('name="ooni-operator-east"');
  expect(east).not.toContain('ooni-operator-ooni');
});

describe('names of release and namespaces', () => {
  test('that look like numbers stay text', async () => {
    const args = ['--namespace', '456', ...profile('embedded-values.yaml'), '--set', 'fullnameOverride=ooni'];
    const lists = ['operator.watchNamespaces=["789"]', 'global.imagePullSecrets=["111"]'];
    for (const list of lists) args.push('--set-json', list);
    const objects = objectsOf(await helm('template', '123', CHART, ...args, '--set', 'jaeger.enabled=true'));
    const numbers = (value: unknown): unknown[] =>
      typeof value === 'object' && value !== null
        ? Object.values(value).flatMap(numbers)
        : [123, 456, 789, 111].filter(number => number === value);
    expect(objects.length).toBeGreaterThan(20);
    for (const object of objects) expect(numbers(object), identity(object)).toEqual([]);
  });

  test.each(['123', 'my.release'])('that Services cannot have, such as %s, are rejected', async name => {
    const { stderr } = await helm('template', name, CHART, ...MINIMAL).then(
      () => ({ stderr: '' }),
      (error: { stderr: string }) => error,
    );
    expect(stderr).toMatch(/gives the objects the prefix ".*-ooni-pipeline".*; set fullnameOverride to a name/);
  });

  test('that are long give each release its own cluster roles', async () => {
    const names = async (release: string) => {
      const objects = objectsOf(await helm('template', release, CHART, ...MINIMAL, '--namespace', 'n'.repeat(60)));
      return objects.filter(({ kind }) => kind === 'ClusterRole').map(({ metadata }) => metadata.name);
    };
    const [one, other] = [await names('one'), await names('other')];
    expect(one).toHaveLength(3);
    expect(new Set([...one, ...other]).size).toBe(6);
  });
});

describe('settings', () => {
  test('reach operator and workers as an environment, in the form in which they were written', async () => {
    const objects = await render(
      ...MINIMAL,
      '--set-json',
      'settings={"clickhouse_write_batch_size":1500000,"archive_path_style":true,"max_failed_share":0.25}',
    );
    expect(find(objects, 'ConfigMap', 'ooni-ooni-pipeline').data).toMatchObject({
      CLICKHOUSE_WRITE_BATCH_SIZE: '1500000',
      ARCHIVE_PATH_STYLE: 'true',
      MAX_FAILED_SHARE: '0.25',
      TEMPORAL_ADDRESS: 'ooni-ooni-pipeline-temporal-frontend.pipeline.svc:7233',
    });
  });

  test('that change make other pods of operator and workers', async () => {
    const sum = async (...args: string[]) => {
      const objects = await render(...MINIMAL, ...args);
      const pools = find(objects, 'ConfigMap', /-pools$/).data as Record<string, string>;
      return [
        find(objects, 'Deployment', /operator$/).spec.template.metadata.annotations['checksum/settings'],
        parse(pools.activities!).template.metadata.annotations['checksum/settings'],
      ];
    };
    const [before, after] = [await sum(), await sum('--set', 'settings.log_level=debug')];
    expect(before[0]).toBe(before[1]);
    expect(after[0]).toBe(after[1]);
    expect(after[0]).not.toBe(before[0]);
  });

  test('for TLS to Temporal are files of the Secret, in operator and workers', async () => {
    const objects = await render(...profile('production-values.yaml'));
    expect(find(objects, 'ConfigMap', 'ooni-ooni-pipeline').data).toMatchObject({
      TEMPORAL_TLS_SERVER_CA_PATH: '/etc/ooni-pipeline/temporal-tls/ca.crt',
      TEMPORAL_TLS_CLIENT_CERT_PATH: '/etc/ooni-pipeline/temporal-tls/tls.crt',
      TEMPORAL_TLS_CLIENT_KEY_PATH: '/etc/ooni-pipeline/temporal-tls/tls.key',
    });
    const pools = find(objects, 'ConfigMap', /-pools$/).data as Record<string, string>;
    for (const pod of [
      find(objects, 'Deployment', /operator$/).spec.template.spec,
      parse(pools.activities!).template.spec,
    ]) {
      expect(pod.volumes).toContainEqual({ name: 'temporal-tls', secret: { secretName: 'temporal-tls' } });
      expect(pod.containers[0].volumeMounts).toContainEqual(
        expect.objectContaining({ name: 'temporal-tls', mountPath: '/etc/ooni-pipeline/temporal-tls' }),
      );
    }
  });

  test('for private authorities name a file of the Secret, in operator and workers', async () => {
    const objects = await render(...MINIMAL, '--set', 'certificateAuthorities.existingSecret=our-ca');
    expect(find(objects, 'ConfigMap', 'ooni-ooni-pipeline').data).toMatchObject({
      NODE_EXTRA_CA_CERTS: '/etc/ooni-pipeline/certificate-authorities/ca.crt',
    });
    const pools = find(objects, 'ConfigMap', /-pools$/).data as Record<string, string>;
    for (const pod of [
      find(objects, 'Deployment', /operator$/).spec.template.spec,
      parse(pools.activities!).template.spec,
    ]) {
      expect(pod.volumes).toContainEqual({ name: 'certificate-authorities', secret: { secretName: 'our-ca' } });
      expect(pod.containers[0].volumeMounts).toContainEqual({
        name: 'certificate-authorities',
        mountPath: '/etc/ooni-pipeline/certificate-authorities',
        readOnly: true,
      });
    }
    const without = await render(...MINIMAL);
    expect(find(without, 'ConfigMap', 'ooni-ooni-pipeline').data).not.toHaveProperty('NODE_EXTRA_CA_CERTS');
  });

  test('that are secret are in a Secret only', async () => {
    const text = await helm('template', 'ooni', CHART, ...MINIMAL);
    const secret = find(objectsOf(text), 'Secret', 'ooni-ooni-pipeline');
    expect(secret.stringData).toEqual({ CLICKHOUSE_URL: 'http://user:password@clickhouse.example.org:8123/ooni' });
    expect(text.split('user:password').length).toBe(2);
  });
});

test("a pool's template is merged over that of all workers, by the name of the container", async () => {
  const pools = find(await render(...profile('production-values.yaml')), 'ConfigMap', /-pools$/).data;
  const { containers, tolerations, imagePullSecrets } = parse(pools.activities).template.spec;
  expect(containers).toHaveLength(1);
  expect(containers[0].resources).toEqual({ requests: { cpu: '4', memory: '1Gi' }, limits: { memory: '3Gi' } });
  expect(tolerations).toHaveLength(1);
  expect(imagePullSecrets).toEqual([{ name: 'registry' }]);
});

test('images come from the mirror, and a digest has priority over a tag', async () => {
  const objects = await render(...profile('production-values.yaml'));
  const { image } = find(objects, 'Deployment', /operator$/).spec.template.spec.containers[0];
  expect(image).toBe(`mirror.example.org/ooni/pipeline@sha256:${'a'.repeat(64)}`);
});

describe('the embedded ClickHouse', () => {
  test('needs no other value, and operator, workers and Superset get its address', async () => {
    const objects = await render('--set', 'clickhouse.mode=embedded');
    const url = 'http://ooni-ooni-pipeline-clickhouse.pipeline.svc:8123/ooni';
    expect(find(objects, 'Secret', 'ooni-ooni-pipeline').stringData).toEqual({ CLICKHOUSE_URL: url });
    const { ports, selector } = find(objects, 'Service', 'ooni-ooni-pipeline-clickhouse').spec;
    const { template } = find(objects, 'Deployment', 'ooni-ooni-pipeline-clickhouse').spec;
    expect(ports).toEqual([{ name: 'http', port: 8123, targetPort: 'http' }]);
    expect(template.metadata.labels).toMatchObject(selector);
    const config = parse(find(objects, 'ConfigMap', 'ooni-ooni-pipeline-clickhouse').data['config.yaml']);
    expect(config.http_port).toBe(8123);
    const mounted = template.spec.containers[0].volumeMounts.map((mount: { mountPath: string }) => mount.mountPath);
    expect(mounted).toContain('/var/lib/clickhouse');
    // Every path that the server writes is on the volume, because the root is read-only.
    for (const key of ['path', 'tmp_path', 'user_files_path', 'format_schema_path']) {
      expect(config[key], key).toMatch(/^\/var\/lib\/clickhouse\//);
    }
  });

  test('keeps its rows when the release is uninstalled', async () => {
    const { metadata } = find(await render(...profile('embedded-values.yaml')), 'PersistentVolumeClaim', /clickhouse$/);
    expect(metadata.annotations).toEqual({ 'helm.sh/resource-policy': 'keep' });
  });

  test('is rejected with gitops', async () => {
    const message = await rejected('--set', 'clickhouse.mode=embedded', '--set', 'gitops=true');
    expect(message).toMatch(/is for evaluation, so set clickhouse\.mode to external/);
  });
});

describe('Jaeger', () => {
  const JAEGER = ['--set', 'jaeger.enabled=true'];

  test('receives the spans of operator and workers at the address in their settings', async () => {
    const objects = await render(...MINIMAL, ...JAEGER, '--set', 'jaeger.maxTraces=2000000');
    const { TELEMETRY_ENDPOINT } = find(objects, 'ConfigMap', 'ooni-ooni-pipeline').data;
    expect(TELEMETRY_ENDPOINT).toBe('http://ooni-ooni-pipeline-jaeger.pipeline.svc:4317');
    const { ports, selector } = find(objects, 'Service', 'ooni-ooni-pipeline-jaeger').spec;
    const { template } = find(objects, 'Deployment', 'ooni-ooni-pipeline-jaeger').spec;
    expect(template.metadata.labels).toMatchObject(selector);
    const config = parse(find(objects, 'ConfigMap', 'ooni-ooni-pipeline-jaeger').data['config.yaml']);
    expect(config.extensions.jaeger_storage.backends.memory.memory.max_traces).toBe(2_000_000);
    // Each port of the Service is one that the configuration listens on.
    const { ports: opened } = template.spec.containers[0] as { ports: { name: string; containerPort: number }[] };
    const listens = Object.fromEntries(opened.map(({ name, containerPort }) => [name, `0.0.0.0:${containerPort}`]));
    expect(listens).toEqual({
      otlp: config.receivers.otlp.protocols.grpc.endpoint,
      ui: config.extensions.jaeger_query.http.endpoint,
      health: config.extensions.healthcheckv2.http.endpoint,
    });
    expect(ports).toEqual([
      { name: 'otlp', port: 4317, targetPort: 'otlp' },
      { name: 'ui', port: 16686, targetPort: 'ui' },
    ]);
  });

  test('is absent by default, and rejected beside another receiver', async () => {
    const without = await render(...MINIMAL);
    expect(without.some(({ metadata }) => metadata.name.includes('jaeger'))).toBe(false);
    expect(find(without, 'ConfigMap', 'ooni-ooni-pipeline').data).not.toHaveProperty('TELEMETRY_ENDPOINT');
    const message = await rejected(...MINIMAL, ...JAEGER, '--set', 'settings.telemetry_endpoint=http://collector:4317');
    expect(message).toMatch(/settings\.telemetry_endpoint is "http:\/\/collector:4317".*remove one of them/);
  });
});

describe('NetworkPolicies', () => {
  test('without ports open none but those of DNS, Temporal and the API server', async () => {
    const values = ['networkPolicy.enabled=true', 'networkPolicy.egressPorts=null', 'credentials.existingSecret=s'];
    const args = [...values, 'settings.archive_url=/app/archive'].flatMap(value => ['--set', value]);
    for (const source of ['fingerprints_dns', 'fingerprints_http', 'test_lists', 'as_organisations'])
      args.push('--set', `settings.${source}_source=none`);
    const { egress } = find(await render(...args), 'NetworkPolicy', /workers$/).spec;
    expect(egress.map(({ ports }: { ports: { port: number }[] }) => ports.map(({ port }) => port))).toEqual([
      [53, 53],
      [7233],
    ]);
  });

  const policy = async (name: RegExp, ...args: string[]) =>
    find(await render(...args, '--set', 'networkPolicy.enabled=true'), 'NetworkPolicy', name).spec;
  const portsTo = (spec: { egress: { ports?: { port: number }[] }[] }) =>
    spec.egress.flatMap(({ ports }) => ports ?? []).map(({ port }) => port);

  test.each([/operator$/, /workers$/, /superset$/])('let %s reach ClickHouse', async name => {
    const spec = await policy(
      name,
      ...profile('superset-values.yaml'),
      '--set',
      'networkPolicy.egressPorts={443,8123,8124}',
    );
    expect(portsTo(spec)).toContain(8124);
  });

  test.each([/operator$/, /workers$/])('let %s reach Jaeger where it is installed', async name => {
    expect(portsTo(await policy(name, ...MINIMAL, '--set', 'jaeger.enabled=true'))).toContain(4317);
    expect(portsTo(await policy(name, ...MINIMAL))).not.toContain(4317);
  });

  test('let users reach Superset, and Superset its metadata', async () => {
    const spec = await policy(/superset$/, ...profile('superset-postgresql-values.yaml'));
    expect(spec.ingress).toEqual([{ ports: [{ port: 'http', protocol: 'TCP' }] }]);
    expect(portsTo(spec)).toContain(5432);
    expect(portsTo(await policy(/superset$/, ...profile('superset-values.yaml')))).not.toContain(5432);
  });

  test.each(PROFILES)('select every pod of %s', async name => {
    const objects = await render(...profile(name), '--set', 'networkPolicy.enabled=true');
    interface Selector {
      readonly matchLabels?: Record<string, string>;
      readonly matchExpressions?: { key: string; operator: string; values: string[] }[];
    }
    const matches = ({ matchLabels, matchExpressions }: Selector, labels: Record<string, string>) =>
      Object.entries(matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
      (matchExpressions ?? []).every(
        ({ key, operator, values }) => operator === 'In' && values.includes(labels[key] ?? ''),
      );
    const selectors = objects
      .filter(({ kind }) => kind === 'NetworkPolicy')
      .map(({ spec }) => spec.podSelector as Selector);
    for (const object of objects.filter(({ kind }) => kind === 'Deployment')) {
      const labels = object.spec.template.metadata.labels as Record<string, string>;
      const selected = selectors.some(selector => matches(selector, labels));
      expect(selected, identity(object)).toBe(true);
    }
  });
});

describe('the notes after an installation', () => {
  const notes = async (...args: string[]) => {
    const all = await helm('install', 'ooni', CHART, '--namespace', 'pipeline', '--dry-run=client', ...args);
    return all.slice(all.lastIndexOf('\nNOTES:'));
  };
  const steps = (text: string) => [...text.matchAll(/^(\d+)\. /gm)].map(match => Number(match[1]));

  test('have a command for each component of the evaluation', async () => {
    const text = await notes(...profile('embedded-values.yaml'));
    expect(steps(text)).toEqual([1, 2, 3, 4]);
    expect(text).toContain('port-forward service/ooni-ooni-pipeline-temporal-ui 8080:8080');
    expect(text).toContain(
      "get secret ooni-ooni-pipeline-superset --output jsonpath='{.data.SUPERSET_ADMIN_PASSWORD}'",
    );
    expect(text).toContain('"helm uninstall" keeps the definitions');
  });

  test("name the web interface of Temporal's services where it is installed", async () => {
    const command = 'port-forward service/ooni-ooni-pipeline-temporal-ui 8080:8080';
    expect(await notes(...profile('temporal-production-values.yaml'))).toContain(command);
    expect(await notes(...profile('temporal-postgresql-values.yaml'))).not.toContain('temporal-ui');
  });

  test('have the migration by hand where no program may migrate', async () => {
    const text = await notes(...profile('production-values.yaml'));
    expect(steps(text)).toEqual([1, 2, 3]);
    expect(text).toContain('exec deployment/ooni-ooni-pipeline-operator -- /nodejs/bin/node cli/main.ts migrate --yes');
    expect(await notes(...MINIMAL)).not.toContain('migrate');
  });

  test('warn that definitions which are not kept take all resources with them', async () => {
    const text = await notes(...MINIMAL, '--set', 'crds.keep=false');
    expect(text).toMatch(/WARNING: crds\.keep is false, so "helm uninstall" deletes the definitions/);
    expect(text).not.toContain('keeps the definitions');
  });
});

describe('a wrong value is rejected', () => {
  test.each([
    [['--set', 'opertor.replicas=1'], /'opertor' not allowed.*value must be one of 'global', .*'operator', /s],
    [['--set', 'operator.replica=1'], /\/operator': .*'replica' not allowed.*value must be one of 'replicas', /s],
    [['--set', 'settings.archive_ur=x'], /\/settings': .*'archive_ur' not allowed.*one of .*'archive_url', /s],
    [['--set', 'settings.temporal_address=x:1'], /temporal_address/],
    [['--set', 'temporal.mode=cloud'], /temporal.*mode|embedded/s],
    [['--set', 'workers.pools.activities.slot=3'], /slot/],
    [['--set', 'workers.pools.activities.slots=0'], /slots|minimum/],
    [['--set', 'image.pullPolicy=Sometimes'], /pullPolicy|IfNotPresent/],
    [['--set', 'temporal.mode=external'], /temporal\.external\.address is empty; set it to host:port/],
    [['--set', 'credentials.existingSecret=x'], /credentials\.values is set too; keep one/],
    [['--set', 'gitops=true'], /create a Secret and set credentials\.existingSecret/],
    [
      ['--set', 'clickhouse.mode=embedded'],
      /the credentials name a ClickHouse too; set clickhouse\.mode to external, or/,
    ],
    [['--set', 'clickhouse.mode=inside'], /clickhouse.*mode|embedded/s],
    [['--set', 'fullnameOverride=My_Release'], /fullnameOverride is "My_Release"; set it to a name of lower-case/],
    [['--set', 'global.imageRegistry=https://mirror.example.org'], /global\.imageRegistry.*without a scheme/],
    [['--set', 'global.imagePullSecrets=registry'], /imagePullSecrets.*got string, want array/],
    [['--set', 'image.repository=ooni/pipeline:1.0'], /image\.repository.*set its tag in image\.tag/],
    [['--set', 'image.digest=sha256:1234'], /image\.digest is "sha256:1234"; set it to sha256: and 64 hexadecimal/],
    [['--set', 'settings.archive_url=https://archive.example.org'], /settings\.archive_url.*set it to s3:\/\/bucket/],
    [['--set', 'settings.archive_endpoint=minio:9000'], /settings\.archive_endpoint.*set it to a URL such as/],
    [['--set', 'settings.max_failed_share=5'], /max_failed_share.*maximum/],
    [['--set', 'operator.watchNamespaces={team-a,Team_B}'], /operator\.watchNamespaces\[1\] is "Team_B"; set it to/],
    [['--set', 'operator.resources.limits.memory=1GB'], /operator\.resources\.limits\.memory is "1GB"; set it to/],
    [['--set', 'temporal.embedded.persistence.size=5GB'], /temporal\.embedded\.persistence\.size.*such as 20Gi/],
    [['--set', 'temporal.uiUrl=temporal.example.org'], /temporal\.uiUrl.*set it to a URL such as https:/],
    [
      ['--set', 'temporal.mode=external', '--set', 'temporal.external.address=https://temporal:7233'],
      /address is "https:\/\/temporal:7233"; set it to host:port .* without a scheme/,
    ],
    [
      ['--set', 'temporal.external.address=temporal:7233'],
      /temporal\.mode is embedded.*set temporal\.mode to external/,
    ],
    [['--set', 'temporal.external.namespace=ooni'], /temporal\.mode is embedded.*set temporal\.namespace instead/],
    [['--set', 'temporal.production.postgresql.host=db'], /temporal\.mode is embedded.*to production/],
    [['--set', 'temporal.production.elasticsearch.host=es'], /elasticsearch\.enabled is false; set enabled to true/],
    [
      ['--set', 'monitoring.serviceMonitor.interval=often'],
      /serviceMonitor\.interval is "often"; set it to a duration/,
    ],
    [['--set', 'workers.pools.activities.replicas=3'], /replicas and autoscaling; .* set .*\.autoscaling to null/],
    [['--set', 'workers.pools.activities.autoscaling.minReplicas=20'], /minReplicas is 20, but maxReplicas is 10; set/],
    [['--set', 'workers.pools.activities.drainTimeout=2 minutes'], /drainTimeout is "2 minutes"; set it to a duration/],
    [['--set', 'workers.pools.Activities.slots=2'], /workers\.pools\.Activities is the name of a pool; change it/],
    [['--set', 'workers.pdb.enabled=false'], /'pdb' not allowed/],
    [['--set', 'credentials=null'], /credentials has no value \(null\); remove the key/],
    [['--set', 'global=null'], /global has no value \(null\); remove the key/],
    [['--set', 'workers.pools.activities.tasks={Activities,Activities}'], /tasks names a kind of task twice; remove/],
    [
      ['--set-json', 'workers.template={"spec":{"containers":[{"name":"main","resources":{}}]}}'],
      /workers\.template\.spec\.containers\[0\] has the name "main" and no image; set its name to worker/,
    ],
    [
      ['--set-json', 'workers.pools.activities.template={"spec":{"volumes":[{"emptyDir":{}}]}}'],
      /workers\.pools\.activities\.template\.spec\.volumes\[0\] has no name; set its name/,
    ],
    [
      ['--set-json', 'workers.template={"spec":{"containers":{"name":"worker"}}}'],
      /workers\/template\/spec\/containers': got object, want array/,
    ],
    [
      [
        '--set-json',
        'workers.template={"spec":{"containers":[{"name":"worker","resources":{"limits":{"memory":"1GB"}}}]}}',
      ],
      /containers\[0\]\.resources\.limits\.memory is "1GB"; set it to a quantity/,
    ],
    [['--set-json', 'operator.extraEnv=[{"value":"1"}]'], /operator\/extraEnv.*missing property 'name'/],
    [['--set', 'temporal.production.postgresql.tls.caSecret=ca'], /would not be encrypted; set tls\.enabled to true/],
    [
      ['--set', 'superset.credentials.existingSecret=s', '--set', 'superset.credentials.values.adminPassword=x'],
      /superset\.credentials\.existingSecret is set, .*; keep one of them/,
    ],
    // A port above 65535.
    [
      ['--set', 'temporal.mode=external', '--set', 'temporal.external.address=temporal:70000'],
      /address is "temporal:70000"; set it to host:port .* at most 65535/,
    ],
    [
      ['--set', 'settings.archive_endpoint=http://minio:90000'],
      /archive_endpoint is "http:\/\/minio:90000".* at most 65535/,
    ],
    [['--set', 'settings.telemetry_endpoint=http://collector:65536'], /telemetry_endpoint is .* at most 65535/],
    [['--set', 'settings.prometheus_bind_address=0.0.0.0:94640'], /prometheus_bind_address is .* at most 65535/],
    [['--set', 'global.imageRegistry=mirror:99999'], /imageRegistry is "mirror:99999"; .* at most 65535/],
    [['--set', 'temporal.production.postgresql.port=70000'], /postgresql\/port.*maximum: got 70,000, want 65,535/],
    [['--set', 'networkPolicy.egressPorts={70000}'], /egressPorts\/0.*maximum: got 70,000, want 65,535/],
    // No pool for a kind of task.
    [['--set', 'workers.pools.activities=null'], /no pool that takes Activities.*; add Activities to the tasks of one/],
    [['--set-json', 'workers.pools.workflows.tasks=["Activities"]'], /no pool that takes Workflows.*; add Workflows/],
    // Fields of Kubernetes with another type, key or value.
    [['--set-json', 'operator.nodeSelector={"gpu":true}'], /operator\/nodeSelector\/gpu': got boolean, want string/],
    [['--set-json', 'operator.nodeSelector=["gpu"]'], /operator\/nodeSelector': got array, want object/],
    [['--set-json', 'jaeger.tolerations={"key":"a"}'], /jaeger\/tolerations': got object, want array/],
    [['--set-json', 'superset.affinity=[]'], /superset\/affinity': got array, want object/],
    [
      ['--set-json', 'operator.affinity={"nodeAfinity":{}}'],
      /'nodeAfinity' not allowed.*one of 'nodeAffinity', 'podAffinity'/s,
    ],
    [['--set-json', 'operator.tolerations=[{"effect":"NoSchedul"}]'], /effect': value must be one of 'NoSchedule'/],
    [
      ['--set-json', 'operator.tolerations=[{"key":"a","operator":"Exists","value":"b"}]'],
      /operator\.tolerations\[0\] has the operator Exists and the value "b"; remove the value/,
    ],
    [['--set-json', 'operator.tolerations=[{"effect":"NoSchedule"}]'], /tolerations\[0\] has no key; set its key, or/],
    [
      ['--set-json', 'operator.tolerations=[{"key":"a","operator":"Exists","tolerationSeconds":60}]'],
      /tolerations\[0\] has tolerationSeconds, which need the effect NoExecute; set/,
    ],
    [
      ['--set-json', 'temporal.embedded.topologySpreadConstraints=[{"maxSkew":1}]'],
      /missing properties 'topologyKey', 'whenUnsatisfiable'/,
    ],
    [['--set-json', 'operator.securityContext={"runAsUsr":1}'], /'runAsUsr' not allowed.*one of .*'runAsUser'/s],
    [['--set', 'operator.priorityClassName=High'], /operator\.priorityClassName is "High"; set it to the name of a/],
    [
      ['--set', 'temporal.embedded.persistence.storageClass=Fast_SSD'],
      /storageClass is "Fast_SSD"; set it to the name/,
    ],
    [['--set-string', 'temporal.embedded.persistence.size=0'], /persistence\.size is "0"; set it to .* above zero/],
    [
      ['--set-json', 'workers.template={"spec":{"nodeSelector":{"gpu":1}}}'],
      /workers\/template\/spec\/nodeSelector\/gpu': got number, want string/,
    ],
    [
      ['--set-json', 'workers.pools.activities.template={"spec":{"restartPolicy":"Never"}}'],
      /activities\/template\/spec\/restartPolicy': value must be 'Always'/,
    ],
    [
      ['--set-json', 'workers.template={"metadata":{"name":"worker"}}'],
      /'name' not allowed.*one of 'labels', 'annotations'/s,
    ],
    [['--set-json', 'networkPolicy.metricsFrom=[{"podSelectr":{}}]'], /'podSelectr' not allowed.*'podSelector'/s],
    [
      ['--set-json', 'networkPolicy.extraEgress=[{"ports":[{"port":9000,"protocol":"tcp"}]}]'],
      /protocol': value must be one of 'TCP'/,
    ],
    [['--set-json', 'global.imagePullSecrets=[{"nam":"x"}]'], /imagePullSecrets\/0': missing property 'name'/],
    [
      ['--set', 'global.imagePullSecrets[0]=My Secret'],
      /imagePullSecrets\[0\] is "My Secret"; set it to the name of a/,
    ],
    // Labels and annotations.
    [
      ['--set-json', 'commonLabels={"the team":"data"}'],
      /commonLabels has the key "the team"; change it to at most 63/,
    ],
    [['--set', 'commonLabels.team=data team'], /commonLabels\["team"\] is "data team"; set it to at most 63/],
    [['--set-json', 'operator.nodeSelector={"a/b/c":"d"}'], /operator\.nodeSelector has the key "a\/b\/c"; change it/],
    [['--set-json', 'superset.podAnnotations={"-a":"b"}'], /superset\.podAnnotations has the key "-a"; change it/],
    [
      ['--set-json', 'operator.podLabels={"app.kubernetes.io/instance":"other"}'],
      /operator\.podLabels has the key "app\.kubernetes\.io\/instance", which the chart sets itself; remove it/,
    ],
    [
      ['--set-json', 'workers.template={"metadata":{"labels":{"team":"data team"}}}'],
      /workers\.template\.metadata\.labels\["team"\] is "data team"; set it/,
    ],
    // Ports that the NetworkPolicies do not open.
    [
      ['--set', 'networkPolicy.enabled=true', '--set', 'networkPolicy.egressPorts={443}'],
      /clickhouse_url needs port 8123, which networkPolicy\.egressPorts \[443\] does not open; add 8123/,
    ],
    [
      ['--set', 'networkPolicy.enabled=true', '--set', 'networkPolicy.egressPorts={8123}'],
      /settings\.archive_url needs port 443, .*; add 443/,
    ],
    [
      ['--set', 'networkPolicy.enabled=true', '--set', 'settings.archive_endpoint=http://minio:9000'],
      /settings\.archive_endpoint needs port 9000, .*; add 9000 to networkPolicy\.egressPorts, or a rule/,
    ],
    [
      ['--set', 'networkPolicy.enabled=true', '--set', 'settings.telemetry_endpoint=http://collector:4317'],
      /settings\.telemetry_endpoint needs port 4317, .*; add 4317/,
    ],
    // Files that no volume brings into the pods.
    [
      ['--set', 'settings.geoip_dir=/geoip'],
      /settings\.geoip_dir is "\/geoip", but .*workers\.pools\.activities mounts no volume there; add a volume to/,
    ],
    [['--set', 'settings.geoip_dir=geoip'], /settings\.geoip_dir is "geoip"; set it to the absolute path/],
    [['--set', 'settings.archive_url=/archive'], /settings\.archive_url is "\/archive", but .* mounts no volume there/],
    [
      ['--set', 'settings.test_lists_source=lists.tar.gz'],
      /test_lists_source is "lists\.tar\.gz"; set it to a URL such/,
    ],
    [
      [
        '--set-json',
        'workers.template={"spec":{"containers":[{"name":"worker","volumeMounts":[{"name":"geoip","mountPath":"/geoip"}]}]}}',
      ],
      /mounts the volume "geoip" at \/geoip, but its template has no such volume; add it to/,
    ],
    // Resources, variables, durations, names.
    [['--set', 'operator.resources.limits.memory=100Mi'], /limits\.memory is 100Mi, but the request is 192Mi; set the/],
    [['--set', 'jaeger.resources.limits.memory=512m'], /limits\.memory is "512m", thousandths of a byte; .* 512Mi/],
    [['--set', 'operator.resources.limits.mem=1Gi'], /limits\.mem is not a resource of containers; use cpu, memory/],
    [
      ['--set-json', 'operator.extraEnv=[{"name":"POD_IP","value":"1"}]'],
      /"POD_IP", which the chart sets itself; remove/,
    ],
    [
      ['--set-json', 'operator.extraEnv=[{"name":"A","value":"1"},{"name":"A","value":"2"}]'],
      /operator\.extraEnv\[1\]\.name is "A", which is there twice; remove one/,
    ],
    [['--set-json', 'operator.extraEnv=[{"name":"A","value":1}]'], /extraEnv\/0\/value': got number, want string/],
    [['--set', 'workers.pools.activities.drainTimeout=48h'], /drainTimeout is "48h"; set it to .*from 1s to 24h/],
    [
      ['--set', 'workers.pools.activities.autoscaling.drainWithin=5s'],
      /drainWithin is "5s"; set it to .*from 10s to 24h/,
    ],
    [['--set', 'operator.watchNamespaces={a,b,a}'], /operator\.watchNamespaces names "a" twice; remove one/],
    [['--set', `fullnameOverride=${'a'.repeat(41)}`], /fullnameOverride is "a{41}"; set it to/],
    [['--set', 'settings.installation=My_Pipeline'], /settings\.installation is "My_Pipeline"; set it to at most 40/],
    [['--set-json', 'settings.clickhouse_write_batch_size=1.5'], /write_batch_size': got number, want integer/],
    [
      ['--set', 'superset.clickhouse.key=the url'],
      /superset\.clickhouse\.key is "the url"; set it to a key of the Secret/,
    ],
    [['--set', 'credentials.values.archive_access_key_id=x'], /archive_secret_access_key is empty, .*; set both/],
    [
      ['--set', 'credentials.values.temporal_api_key=x'],
      /temporal_api_key is set, which turns TLS on, but temporal\.mode is embedded.*; set temporal\.mode to external/,
    ],
    [['--set-json', 'extraObjects=[{"kind":"ConfigMap"}]'], /extraObjects\[0\] has no apiVersion; set it/],
    [['--set-json', 'extraObjects=["a: {b"]'], /extraObjects\[0\] is not YAML .*; correct it/],
  ])('%j', async (args, message) => {
    expect(await rejected(...MINIMAL, ...args)).toMatch(message);
  });

  test.each([
    ['credentials.values.clickhouse_url', 'localhost:8123/hidden', /set it to http:\/\/user:password@host:8123/],
    ['credentials.values.clickhouse_url', 'http://a:hidden@db:81230/ooni', /set it to .* with a port of at most 65535/],
    [
      'credentials.values.clickhouse_url',
      'http://db/?user=me&password=hidden',
      /has the parameter user, which is not read/,
    ],
    ['superset.clickhouse.existingSecret', 'http://user:hidden@db', /set it to the name of an existing Secret/],
    ['superset.credentials.values.secretKey', 'hidden', /set it to at least 32 random characters/],
    ['superset.credentials.values.metadataUrl', 'mysql://user:hidden@db', /set it to postgresql\+psycopg2:/],
  ])('and a secret one, %s, is not shown', async (path, value, remedy) => {
    const message = await rejected(...MINIMAL, '--set', `${path}=${value}`);
    expect(message).toMatch(remedy);
    expect(message).toContain(path);
    expect(message).not.toContain('hidden');
  });

  test('and a password in a URL is not shown', async () => {
    const message = await rejected(
      ...MINIMAL,
      '--set',
      'settings.telemetry_endpoint=http://user:hidden@collector:70000',
    );
    expect(message).toContain('settings.telemetry_endpoint is "http://***@collector:70000"');
  });

  test.each([
    [['--set', 'workers.pools.workflows=null', '--set', 'workers.pools.activities=null']],
    [['--set-json', 'operator.resources={"requests":{"cpu":2,"memory":".5Gi"},"limits":{"memory":1073741824}}']],
    [['--set-json', 'operator.resources.limits={"memory":"1Gi","nvidia.com/gpu":1}']],
    [['--set-json', 'commonLabels={"example.org/team":"data_1.x","empty":""}']],
    [['--set-json', 'operator.tolerations=[{"operator":"Exists"}]']],
    [['--set-json', 'global.imagePullSecrets=["one",{"name":"two"}]']],
    [['--set', 'temporal.mode=external', '--set', 'temporal.external.address=[fd00::1]:7233']],
    [['--set', 'networkPolicy.enabled=true', '--set', 'settings.archive_endpoint=http://minio:8123']],
    [['--set', 'settings.geoip_dir=/app/geoip']],
    [['--set', 'credentials.values.clickhouse_url=https://user:p%2F@[fd00::1]:8443/ooni/?connect_timeout=5']],
    [
      [
        '--set-json',
        'workers.template={"spec":{"volumes":[{"name":"geoip","emptyDir":{"sizeLimit":1000000}}],"containers":[{"name":"worker","volumeMounts":[{"name":"geoip","mountPath":"/geoip/"}]}]}}',
        '--set',
        'settings.geoip_dir=/geoip/databases',
      ],
    ],
    [
      [
        '--set',
        'workers.pools.activities.drainTimeout=1h30m',
        '--set-json',
        'extraObjects=["{{ if false }}a{{ end }}"]',
      ],
    ],
  ])('but a rare one is not: %j', async args => {
    await render(...MINIMAL, ...args);
  });

  test('a value that is absent, for example because an older chart did not have it', async () => {
    const { requiredValues } = await import('../../tools/chart-files.ts');
    // All are checked in the same way; the first and the last of each depth stand for the others.
    const paths = requiredValues();
    const chosen = [0, 1, 2, 3].flatMap(depth => {
      const level = paths.filter(path => path.split('.').length === depth + 1);
      return [level[0]!, level.at(-1)!];
    });
    for (const path of [...chosen, 'temporal.production.historyShards', 'superset.behindProxy']) {
      const message = await rejected(...profile('temporal-production-values.yaml'), '--set', `${path}=null`);
      expect(message).toContain(`${path} has no value (null); remove the key`);
    }
  });

  test('no ClickHouse at all', async () => {
    expect(await rejected()).toMatch(/no ClickHouse is configured: set credentials\.existingSecret/);
  });

  test('but the key global is free, for charts that contain this one', async () => {
    await render(...MINIMAL, '--set', 'global.other.thing=1');
  });
});

function identity({ apiVersion, kind, metadata }: Manifest): string {
  return `${apiVersion} ${kind} ${metadata.namespace ?? ''} ${metadata.name}`;
}
