import { z } from 'zod';
import { conditions } from './conditions.ts';
import { count, duration, durationSeconds, instant, links } from './fields.ts';
import type { CommonStatus, Kind, Resource } from './resource.ts';
import { rules } from './rules.ts';

const direction = (change: 'add' | 'remove', stabilization: string, podsPerMinute: number) =>
  z
    .object({
      stabilization: duration('0s', '24h').default(stabilization).meta({
        description:
          'Stabilization window. The pool makes the smallest of the changes that the load required in this time.',
      }),
      podsPerMinute: z
        .int()
        .min(1)
        .max(1000)
        .default(podsPerMinute)
        .meta({ description: `Maximum number of pods to ${change} per minute.` }),
    })
    .prefault({})
    .meta({ description: change === 'add' ? 'Limits for adding pods.' : 'Limits for removing pods.' });

const autoscaling = rules(
  z.object({
    minReplicas: z
      .int()
      .min(0)
      .max(1000)
      .default(0)
      .meta({ description: 'Minimum number of pods. With 0 there are no pods while there is no work.' }),
    maxReplicas: z.int().min(1).max(1000).meta({ description: 'Maximum number of pods.' }),
    targetUtilization: z.int().min(1).max(100).default(80).meta({
      description:
        'Percentage of the slots that should be busy with short tasks (under 30 seconds), which arrive steadily. Longer tasks get as many slots as they use.',
    }),
    drainWithin: duration('10s', '24h').default('10m').meta({
      description:
        'Maximum time in which the pods should process the backlog. When the mean duration of a task is known, the pool aims at the duration of two tasks, but at least two minutes; until then, every task gets a slot.',
    }),
    cooldown: duration('0s', '24h').default('5m').meta({
      description:
        'Time without backlog, new tasks and busy slots after which the pool scales to zero. While the load is not known and runs are active, the pool gets as many pods as it needed in this time before.',
    }),
    scaleUp: direction('add', '0s', 40),
    scaleDown: direction('remove', '1m', 40),
  }),
  {
    cel: 'self.minReplicas <= self.maxReplicas',
    message: 'minReplicas must not exceed maxReplicas',
    field: 'minReplicas',
    check: it => it.minReplicas <= it.maxReplicas,
  },
).meta({
  description:
    'Makes the number of pods follow the load of the queues. It cannot be combined with replicas. Omit both if an HPA or KEDA sets the number by the scale subresource; an HPA works only after `kubectl scale` has set a number once.',
});

/** Seconds that a pod needs to end after drainTimeout. */
const LEAST_MARGIN = 10;

/** Numbers with a decimal or binary unit or an exponent (k8s.io/apimachinery/pkg/api/resource). */
const QUANTITY = /^[+-]?(\d+(\.\d*)?|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/;

/** Returns list and index of the containers without an image that are not the worker's, such as one with a misspelled name. */
function withoutImage(podSpec: Record<string, unknown> | undefined): ['containers' | 'initContainers', number][] {
  return (['containers', 'initContainers'] as const).flatMap(list => {
    const items = podSpec?.[list];
    if (!Array.isArray(items)) return [];
    return items.flatMap((item, index): [typeof list, number][] => {
      const worker = list === 'containers' && item?.name === 'worker';
      return typeof item?.name === 'string' && !worker && !item.image ? [[list, index]] : [];
    });
  });
}

/** Returns the paths of resources that are not quantities. The API server rejects them without the name of the field. */
function wrongQuantities(podSpec: Record<string, unknown> | undefined): (string | number)[][] {
  const entries = (of: unknown) => (typeof of === 'object' && of !== null ? Object.entries(of) : []);
  return ['containers', 'initContainers'].flatMap(list =>
    entries(podSpec?.[list]).flatMap(([index, container]) =>
      entries((container as { resources?: unknown } | null)?.resources)
        .filter(([kind]) => kind === 'requests' || kind === 'limits')
        .flatMap(([kind, quantities]) =>
          entries(quantities)
            .filter(([, quantity]) => !QUANTITY.test(String(quantity)))
            .map(([name]) => [list, Number(index), 'resources', kind, name]),
        ),
    ),
  );
}

const spec = rules(
  z.object({
    tasks: rules(
      z
        .array(z.enum(['Workflows', 'Activities']))
        .min(1)
        .max(2),
      {
        cel: 'self.all(one, self.exists_one(other, one == other))',
        message: 'must name each kind of task once',
        check: value => new Set(value).size === value.length,
      },
    )
      .default(['Workflows', 'Activities'])
      .meta({
        description:
          'Tasks that the workers take: Workflows (they decide what to do, and need little CPU), Activities (they do the work), or both. Default: both.',
        'x-kubernetes-list-type': 'atomic',
      }),
    slots: z.int().min(1).max(256).default(2).meta({
      description:
        'Number of activities that one pod runs at a time, each on its own thread. Set it to about the number of CPUs of the pod.',
    }),
    replicas: z.int().min(0).max(1000).optional().meta({
      description:
        'Number of pods. It cannot be combined with autoscaling. Omit it if `kubectl scale`, an HPA or KEDA sets the number; otherwise the next `kubectl apply` sets it back. Without replicas and autoscaling, the number of pods does not change, and a new pool has one.',
    }),
    autoscaling: autoscaling.optional(),
    drainTimeout: duration('1s', '24h').default('2m').meta({
      description:
        'Time in which a stopping pod finishes its work or writes a checkpoint. Then Kubernetes ends the pod, and another pod continues the work.',
    }),
    template: z
      .object({
        metadata: z
          .looseObject({})
          .optional()
          .meta({ description: 'Labels and annotations of the pods.', 'x-kubernetes-preserve-unknown-fields': true }),
        spec: z.looseObject({}).optional().meta({
          description:
            'Pod spec. The worker\'s container has the name "worker"; lists of named items are merged by name.',
          'x-kubernetes-preserve-unknown-fields': true,
        }),
      })
      .default({})
      .meta({
        description:
          "PodTemplateSpec that is merged over the operator's own: image, resources, affinity, tolerations, env, volumes and any other field of a pod.",
      }),
  }),
  {
    cel: '!has(self.replicas) || !has(self.autoscaling)',
    message:
      'write either replicas (a fixed number, or what kubectl scale, an HPA or KEDA sets) or autoscaling, and not both; the number of an autoscaled pool is changed by minReplicas and maxReplicas',
    check: it => it.replicas === undefined || it.autoscaling === undefined,
  },
)
  .superRefine((it, context) => {
    for (const list of ['containers', 'initContainers', 'volumes']) {
      const items = it.template.spec?.[list] ?? [];
      if (Array.isArray(items) && items.every(item => typeof item?.name === 'string')) continue;
      const message = 'must be a list of objects that each have a name; the worker\'s container has the name "worker"';
      context.addIssue({ code: 'custom', path: ['template', 'spec', list], message });
    }
    for (const [list, index] of withoutImage(it.template.spec)) {
      const message =
        'has no image, and is not the worker\'s container, whose name is "worker"; correct the name, or give it an image';
      context.addIssue({ code: 'custom', path: ['template', 'spec', list, index, 'name'], message });
    }
    for (const path of wrongQuantities(it.template.spec)) {
      const message = 'must be a quantity of Kubernetes, such as 500m, 2 or 1Gi';
      context.addIssue({ code: 'custom', path: ['template', 'spec', ...path], message });
    }
    const grace = it.template.spec?.terminationGracePeriodSeconds;
    const least = (durationSeconds(it.drainTimeout) ?? 0) + LEAST_MARGIN;
    if (typeof grace === 'number' && grace < least) {
      context.addIssue({
        code: 'custom',
        path: ['template', 'spec', 'terminationGracePeriodSeconds'],
        message: `Kubernetes would kill a pod before its drainTimeout of ${it.drainTimeout} is over; leave it out, or write ${least} or more`,
      });
    }
  })
  .meta({ description: 'Desired workers.' });

/** Load of a queue. An unknown value is left out, never written as 0. */
const queue = z.object({
  name: z.string().meta({ description: 'Task queue in Temporal.' }),
  tasks: z.enum(['Workflows', 'Activities']).meta({ description: 'Kind of tasks in the queue.' }),
  backlog: count('Number of waiting tasks.').optional(),
  backlogAge: z.string().meta({ description: 'Age of the oldest waiting task.' }).optional(),
  addRate: z.number().meta({ description: 'Tasks added per second, over about 30 seconds.' }).optional(),
  dispatchRate: z
    .number()
    .meta({ description: 'Tasks handed to workers per second, over about 30 seconds.' })
    .optional(),
  usedSlots: count('Number of tasks that the workers of this installation process now.').optional(),
  observedAt: instant('Time at which Temporal reported these figures.').optional(),
});

const lastDecision = z.object({
  at: instant('Time of the decision.'),
  reason: z.string().meta({ description: 'Last step that changed the number of pods, in one word.' }),
  message: z.string().meta({ description: 'Decision as a sentence with its figures.' }),
  current: count('Number of pods before the decision.'),
  needed: count('Number of pods that the load needs.').optional(),
  occupied: count(
    'Number of pods with busy slots. Of the following steps, only maxReplicas can lead to a smaller number.',
  ).optional(),
  tolerated: count('Number of pods after the tolerance of one tenth, and not below occupied.').optional(),
  stabilized: count('Number of pods after stabilization.').optional(),
  limited: count('Number of pods after the limit podsPerMinute.').optional(),
  desired: count('Desired number of pods, after the bounds minReplicas and maxReplicas.'),
});

const scalingMemory = z.object({
  recommendations: z
    .array(
      z.object({
        since: instant('Time from which the recommendation holds, until that of the next one.'),
        replicas: count('Recommended number of pods.'),
      }),
    )
    .max(16)
    .meta({ description: 'Recent recommendations, oldest first.', 'x-kubernetes-list-type': 'atomic' }),
  changes: z
    .array(
      z.object({
        at: instant('Time of the change.'),
        delta: z.int().meta({ description: 'Number of pods added; negative: removed.' }),
      }),
    )
    .max(16)
    .meta({ description: 'Changes in the last minute, oldest first.', 'x-kubernetes-list-type': 'atomic' }),
  idleSince: instant(
    'Time since which there has been no work. Absent while there is work, or while the load is unknown.',
  ).optional(),
});

const status = z
  .object({
    observedGeneration: count('Value of metadata.generation that this status describes.'),
    conditions: conditions(),
    replicas: count('Number of pods that exist.'),
    readyReplicas: count('Number of pods that are ready.'),
    selector: z.string().meta({ description: 'Label selector of the pods, for the scale subresource.' }),
    // kubectl prints a list column as JSON or as its first item, depending on the version of the API server.
    tasks: z.string().meta({ description: 'Tasks that the workers take, as text: Workflows, Activities.' }),
    desiredReplicas: count('Desired number of pods.'),
    version: z.string().meta({
      description:
        'Version of the workflow code in the pods, derived from their image; absent if they do not take Workflows, or without the setting worker_versioning.',
    }),
    drainingVersions: z.array(z.string()).max(8).meta({
      description: 'Former versions that still have a pod, because runs began with them and have not ended.',
      'x-kubernetes-list-type': 'atomic',
    }),
    backlog: count('Number of waiting tasks in all queues of this pool; absent while unknown.'),
    queues: z
      .array(queue)
      .max(4)
      .meta({
        description: 'Load of each queue.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      }),
    lastDecision: lastDecision.meta({ description: 'Steps by which autoscaling computed desiredReplicas.' }),
    scalingMemory: scalingMemory.meta({
      description:
        'Recent recommendations and changes, with which the next leader of the operator continues the time windows of autoscaling.',
    }),
    links: links(),
  })
  .partial()
  .meta({ description: 'Observed state, written by the operator.' });

/** WorkerPool (wpool): a Deployment of workers, of fixed size or following the load. */
export const WORKER_POOL = {
  kind: 'WorkerPool',
  plural: 'workerpools',
  singular: 'workerpool',
  shortName: 'wpool',
  description:
    'A WorkerPool keeps a Deployment of worker pods (ooni-worker-<name>) that take tasks from Temporal. Its size is fixed or follows the load.',
  spec,
  status,
  columns: [
    { name: 'Desired', type: 'integer', path: '.status.desiredReplicas', description: 'Desired number of pods.' },
    { name: 'Ready', type: 'integer', path: '.status.readyReplicas', description: 'Number of pods that are ready.' },
    {
      name: 'Status',
      type: 'string',
      path: '.status.conditions[?(@.type=="Ready")].reason',
      description: 'Reason of the condition Ready.',
    },
    { name: 'Backlog', type: 'integer', path: '.status.backlog', description: 'Number of waiting tasks.' },
    { name: 'Tasks', type: 'string', path: '.status.tasks', description: 'Tasks that the workers take.' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Age of the resource.' },
    {
      name: 'Slots',
      type: 'integer',
      path: '.spec.slots',
      description: 'Activities that one pod runs at a time.',
      wide: true,
    },
    {
      name: 'Min',
      type: 'integer',
      path: '.spec.autoscaling.minReplicas',
      description: 'Minimum number of pods.',
      wide: true,
    },
    {
      name: 'Max',
      type: 'integer',
      path: '.spec.autoscaling.maxReplicas',
      description: 'Maximum number of pods.',
      wide: true,
    },
    {
      name: 'Decision',
      type: 'string',
      path: '.status.lastDecision.reason',
      description: 'Reason of the last scaling decision.',
      wide: true,
    },
  ],
  selectable: [],
  rules: [
    {
      rule: 'self.metadata.name.size() <= 50',
      message:
        'the name of a WorkerPool can have at most 50 characters, because the names of its Deployment and pods contain it',
    },
  ],
  scale: {
    specReplicasPath: '.spec.replicas',
    statusReplicasPath: '.status.replicas',
    labelSelectorPath: '.status.selector',
  },
} as const satisfies Kind;

export type WorkerPoolSpec = z.output<typeof spec>;
export type WorkerPoolSpecInput = z.input<typeof spec>;
export type WorkerPoolStatus = Omit<z.output<typeof status>, 'conditions'> & CommonStatus;
export type QueueStatus = z.output<typeof queue>;
export type ScalingMemory = z.output<typeof scalingMemory>;
export type ScalingDecision = z.output<typeof lastDecision>;
export type WorkerPool = Resource<WorkerPoolSpecInput, WorkerPoolStatus>;
