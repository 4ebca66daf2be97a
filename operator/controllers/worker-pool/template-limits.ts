import type { WorkerPool, WorkerPoolSpec } from '../../../crds/worker-pool.ts';
import type { Settings } from '../../../pipeline/settings.ts';

/**
 * Fields that a template may set in every namespace. None of them changes the program, its identity, or what it can read, so a person who
 * may create WorkerPools and may not create pods gains nothing by them. A list of forbidden fields would miss those of later versions of
 * Kubernetes.
 */
const POD_FIELDS = [
  'containers',
  'nodeSelector',
  'affinity',
  'tolerations',
  'topologySpreadConstraints',
  'terminationGracePeriodSeconds',
];
const CONTAINER_FIELDS = ['name', 'resources', 'imagePullPolicy'];
const RESOURCE_FIELDS = ['requests', 'limits'];

/** Returns a sentence for each field of the template that the setting `worker_template_namespaces` forbids in this namespace. */
export function templateProblems(
  { metadata }: WorkerPool,
  { template }: WorkerPoolSpec,
  { worker_template_namespaces: namespaces }: Pick<Settings, 'worker_template_namespaces'>,
): string[] {
  const { namespace = '' } = metadata;
  if (namespaces.length === 0 || namespaces.includes(namespace)) return [];
  const containers = Array.isArray(template.spec?.containers) ? template.spec.containers : [];
  const refused = [
    ...others(template, ['spec'], 'spec.template'),
    ...others(template.spec, POD_FIELDS, 'spec.template.spec'),
    ...containers.flatMap((container, index) => {
      const path = `spec.template.spec.containers[${index}]`;
      if (container?.name !== 'worker') return [`${path}.name ${JSON.stringify(container?.name)}`];
      return [
        ...others(container, CONTAINER_FIELDS, path),
        ...others(container.resources, RESOURCE_FIELDS, `${path}.resources`),
      ];
    }),
  ];
  return refused.map(
    field =>
      `${field}: the operator allows this field only in the namespaces of its setting worker_template_namespaces, and "${namespace}" is not one of them; remove it, or have an administrator add the namespace`,
  );
}

/** Returns the paths of the fields of an object that are not in a list. */
function others(object: unknown, allowed: readonly string[], path: string): string[] {
  if (typeof object !== 'object' || object === null) return [];
  return Object.keys(object).flatMap(field => (allowed.includes(field) ? [] : [`${path}.${field}`]));
}
