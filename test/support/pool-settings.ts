import type { PodSettings } from '../../operator/controllers/worker-pool/deployment.ts';

/** Settings of the operator for the pods of pools. Only pools in the namespace `data` may set every field of a pod. */
export const POOL_SETTINGS: PodSettings = {
  installation: 'ooni',
  worker_image: 'registry/ooni:1',
  worker_versioning: false,
  worker_template_namespaces: ['data'],
  worker_disruption_budgets: true,
  worker_config_map: 'ooni-settings',
  worker_secret: 'ooni-secret',
};
