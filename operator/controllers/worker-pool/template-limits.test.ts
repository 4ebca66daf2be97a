import { expect, test } from 'vitest';
import { SpecError } from '../../../crds/resource.ts';
import { WORKER_POOL, type WorkerPool } from '../../../crds/worker-pool.ts';
import { specOf } from '../reconcile.ts';
import { templateProblems } from './template-limits.ts';

function problems(template: object, namespaces: string[] = ['ooni-system'], namespace = 'data'): string[] {
  const pool = { metadata: { name: 'main', namespace }, spec: { template } } as WorkerPool;
  const spec = specOf(WORKER_POOL, pool);
  if (spec instanceof SpecError) throw spec;
  return templateProblems(pool, spec, { worker_template_namespaces: namespaces });
}
const fields = (template: object) => problems(template).map(sentence => sentence.split(/[: ]/)[0]);
const worker = (more: object) => ({ spec: { containers: [{ name: 'worker', ...more }] } });

test('size and place of the pods may be set everywhere', () => {
  expect(problems({})).toEqual([]);
  expect(
    problems({
      spec: {
        nodeSelector: { disk: 'ssd' },
        affinity: {},
        tolerations: [{ key: 'spot' }],
        topologySpreadConstraints: [],
        terminationGracePeriodSeconds: 600,
        containers: [
          { name: 'worker', imagePullPolicy: 'Always', resources: { requests: { cpu: 2 }, limits: { memory: '1Gi' } } },
        ],
      },
    }),
  ).toEqual([]);
});

// Each of these runs another program, reads other objects of the namespace, or reaches the node.
test.each([
  ['the image', worker({ image: 'evil' }), 'spec.template.spec.containers[0].image'],
  ['the command', worker({ command: ['sh'] }), 'spec.template.spec.containers[0].command'],
  ['arguments', worker({ args: ['-e'] }), 'spec.template.spec.containers[0].args'],
  ['a variable', worker({ env: [{ name: 'NODE_OPTIONS' }] }), 'spec.template.spec.containers[0].env'],
  ['variables of a Secret', worker({ envFrom: [] }), 'spec.template.spec.containers[0].envFrom'],
  ['privileges', worker({ securityContext: { privileged: true } }), 'spec.template.spec.containers[0].securityContext'],
  ['no security context', worker({ securityContext: null }), 'spec.template.spec.containers[0].securityContext'],
  ['a hook', worker({ lifecycle: {} }), 'spec.template.spec.containers[0].lifecycle'],
  ['a probe', worker({ livenessProbe: {} }), 'spec.template.spec.containers[0].livenessProbe'],
  ['claims of devices', worker({ resources: { claims: [] } }), 'spec.template.spec.containers[0].resources.claims'],
  [
    'a second container',
    { spec: { containers: [{ name: 'other', image: 'a:1' }] } },
    'spec.template.spec.containers[0].name',
  ],
  [
    'an init container',
    { spec: { initContainers: [{ name: 'a', image: 'a:1' }] } },
    'spec.template.spec.initContainers',
  ],
  ['a directory of the node', { spec: { volumes: [{ name: 'a', hostPath: {} }] } }, 'spec.template.spec.volumes'],
  ['a service account', { spec: { serviceAccountName: 'admin' } }, 'spec.template.spec.serviceAccountName'],
  ['its token', { spec: { automountServiceAccountToken: true } }, 'spec.template.spec.automountServiceAccountToken'],
  ['the network of the node', { spec: { hostNetwork: true } }, 'spec.template.spec.hostNetwork'],
  ['a node', { spec: { nodeName: 'control-plane' } }, 'spec.template.spec.nodeName'],
  ['annotations', { metadata: { annotations: {} } }, 'spec.template.metadata'],
])('%s may not be set elsewhere', (_, template, field) => {
  expect(fields(template)).toEqual([field]);
});

test('every problem names field, namespace and remedy', () => {
  const [one, two] = problems({ metadata: {}, spec: { hostPID: true } });
  expect(one).toBe(
    'spec.template.metadata: the operator allows this field only in the namespaces of its setting worker_template_namespaces, and "data" is not one of them; remove it, or have an administrator add the namespace',
  );
  expect(two).toContain('spec.template.spec.hostPID: ');
});

test('the namespaces of the setting, or all when it is empty, may set everything', () => {
  expect(problems(worker({ image: 'mine' }), [])).toEqual([]);
  expect(problems(worker({ image: 'mine' }), ['data', 'other'])).toEqual([]);
});
