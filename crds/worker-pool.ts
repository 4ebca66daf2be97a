import { z } from 'zod';
import { conditions } from './conditions.ts';
import { count, duration, durationSeconds, instant, links } from './fields.ts';
import type { CommonStatus, Kind, Resource } from './resource.ts';
import { rules } from './rules.ts';

const direction = (stabilization: string, podsPerMinute: number, description: string) =>
  z
    .object({
      stabilization: duration('0s', '24h').default(stabilization).meta({
        description: 'A change waits until it was wanted for so long; the mildest wish of that time counts.',
      }),
      podsPerMinute: z
        .int()
        .min(1)
        .max(1000)
        .default(podsPerMinute)
        .meta({ description: 'Pods changed per minute at most.' }),
    })
    .prefault({})
    .meta({ description });

const autoscaling = rules(
  z.object({
    minReplicas: z
      .int()
      .min(0)
      .max(1000)
      .default(0)
      .meta({ description: 'Never fewer. 0: none while there is nothing to do.' }),
    maxReplicas: z.int().min(1).max(1000).meta({ description: 'Never more.' }),
    targetUtilization: z
      .int()
      .min(1)
      .max(100)
      .default(80)
      .meta({ description: 'Share of the slots that should be busy, in percent.' }),
    drainWithin: duration('10s', '24h')
      .default('10m')
      .meta({ description: 'A backlog should be worked off within this time.' }),
    cooldown: duration('0s', '24h')
      .default('5m')
      .meta({ description: 'To zero only after so long without backlog, new tasks and busy slots.' }),
    scaleUp: direction('0s', 10, 'How fast pods are added.'),
    scaleDown: direction('5m', 4, 'How fast pods are removed.'),
  }),
  {
    cel: 'self.minReplicas <= self.maxReplicas',
    message: 'minReplicas must not exceed maxReplicas',
    field: 'minReplicas',
    check: it => it.minReplicas <= it.maxReplicas,
  },
).meta({
  description:
    'Replicas follow the load of the queues. Instead of replicas; leave both out where an HPA or KEDA drives the scale subresource (an HPA starts once `kubectl scale` has set a number).',
});

/** Seconds beyond drainTimeout that a pod needs to end. */
const LEAST_MARGIN = 10;

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
          'What the workers take: Workflows (decisions, cheap), Activities (the work itself), or both. Default: both.',
        'x-kubernetes-list-type': 'atomic',
      }),
    slots: z
      .int()
      .min(1)
      .max(256)
      .default(2)
      .meta({ description: 'Activities at a time in one pod, a thread each. About the CPUs of the pod.' }),
    replicas: z.int().min(0).max(1000).optional().meta({
      description:
        'Pods. Instead of autoscaling. `kubectl scale`, an HPA or KEDA sets it: then leave it out of the manifest, so that applying the manifest does not undo them. Absent without autoscaling: the number of pods stays as it is, and is 1 for a new pool.',
    }),
    autoscaling: autoscaling.optional(),
    drainTimeout: duration('1s', '24h').default('2m').meta({
      description:
        'A pod told to stop finishes its work or writes a checkpoint within this time, then it is ended. What is left is taken up by another pod.',
    }),
    template: z
      .object({
        metadata: z
          .looseObject({})
          .optional()
          .meta({ description: 'Labels and annotations of the pods.', 'x-kubernetes-preserve-unknown-fields': true }),
        spec: z.looseObject({}).optional().meta({
          description: 'A pod spec. The container of the worker is called worker; lists with names are merged by name.',
          'x-kubernetes-preserve-unknown-fields': true,
        }),
      })
      .default({})
      .meta({
        description:
          "A PodTemplateSpec laid over the operator's own: image, resources, affinity, tolerations, env, volumes and whatever else a pod can have.",
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
      const message = 'must be a list of objects that have a name each; the container of the worker is called worker';
      context.addIssue({ code: 'custom', path: ['template', 'spec', list], message });
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
  .meta({ description: 'Which workers there should be.' });

/** A figure that may be missing is left out, never written as 0. */
const queue = z.object({
  name: z.string().meta({ description: 'Task queue in Temporal.' }),
  tasks: z.enum(['Workflows', 'Activities']).meta({ description: 'Kind of its tasks.' }),
  backlog: count('Tasks waiting.').optional(),
  backlogAge: z.string().meta({ description: 'Age of the oldest waiting task.' }).optional(),
  addRate: z.number().meta({ description: 'Tasks added per second, over about 30 seconds.' }).optional(),
  dispatchRate: z
    .number()
    .meta({ description: 'Tasks handed to workers per second, over about 30 seconds.' })
    .optional(),
  usedSlots: count('Tasks being worked on by the workers of this installation.').optional(),
  observedAt: instant('When Temporal gave these figures.').optional(),
});

const lastDecision = z.object({
  at: instant('When it was made.'),
  reason: z.string().meta({ description: 'What decided: the last step that changed the number, in one word.' }),
  message: z.string().meta({ description: 'The same as a sentence with the figures.' }),
  current: count('Replicas before.'),
  needed: count('What the load asks for, before anything else.').optional(),
  occupied: count('Pods that the busy slots occupy at least.').optional(),
  tolerated: count('After the tolerance of a tenth.').optional(),
  stabilized: count('After stabilization.').optional(),
  limited: count('After podsPerMinute.').optional(),
  desired: count('The end: within minReplicas and maxReplicas.'),
});

const status = z
  .object({
    observedGeneration: count('metadata.generation of the spec this status speaks of.'),
    conditions: conditions(),
    replicas: count('Pods there are.'),
    readyReplicas: count('Pods that are ready.'),
    selector: z.string().meta({ description: 'Label selector of the pods, for the scale subresource.' }),
    // kubectl prints a column that is a list as JSON or as its first item, by the version of the API server.
    tasks: z.string().meta({ description: 'What the workers take, for people: Workflows, Activities.' }),
    desiredReplicas: count('Pods there should be.'),
    backlog: count('Waiting tasks of all queues of this pool; absent while unknown.'),
    queues: z
      .array(queue)
      .max(4)
      .meta({
        description: 'Load of each queue.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      }),
    lastDecision: lastDecision.meta({ description: 'How autoscaling came to desiredReplicas, step by step.' }),
    links: links(),
  })
  .partial()
  .meta({ description: 'What is the case, written by the operator.' });

/** WorkerPool (wpool): a Deployment of workers, of fixed size or following the load. */
export const WORKER_POOL = {
  kind: 'WorkerPool',
  plural: 'workerpools',
  singular: 'workerpool',
  shortName: 'wpool',
  description:
    'A WorkerPool is a Deployment of worker pods (ooni-worker-<name>) that take tasks from Temporal, of fixed size or following the load.',
  spec,
  status,
  columns: [
    { name: 'Desired', type: 'integer', path: '.status.desiredReplicas', description: 'Pods there should be.' },
    { name: 'Ready', type: 'integer', path: '.status.readyReplicas', description: 'Pods that are ready.' },
    {
      name: 'Status',
      type: 'string',
      path: '.status.conditions[?(@.type=="Ready")].reason',
      description: 'Whether it is as it should be: the reason of Ready.',
    },
    { name: 'Backlog', type: 'integer', path: '.status.backlog', description: 'Tasks waiting.' },
    { name: 'Tasks', type: 'string', path: '.status.tasks', description: 'What the workers take.' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Since when it exists.' },
    { name: 'Slots', type: 'integer', path: '.spec.slots', description: 'Activities at a time per pod.', wide: true },
    { name: 'Min', type: 'integer', path: '.spec.autoscaling.minReplicas', description: 'Fewest pods.', wide: true },
    { name: 'Max', type: 'integer', path: '.spec.autoscaling.maxReplicas', description: 'Most pods.', wide: true },
    {
      name: 'Decision',
      type: 'string',
      path: '.status.lastDecision.reason',
      description: 'What decided the last number.',
      wide: true,
    },
  ],
  selectable: [],
  rules: [
    {
      rule: 'self.metadata.name.size() <= 50',
      message:
        'the name of a WorkerPool may have 50 characters at most, because the names of its Deployment and pods are made from it',
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
export type ScalingDecision = z.output<typeof lastDecision>;
export type WorkerPool = Resource<WorkerPoolSpecInput, WorkerPoolStatus>;
