import type {
  CoreV1Event,
  EventsV1Event,
  V1ConfigMap,
  V1Deployment,
  V1Lease,
  V1Pod,
  V1PodDisruptionBudget,
  V1Secret,
} from '@kubernetes/client-node';
import { defineResource, type KubeObject } from './resource.ts';

/** A generated model in its JSON form: the models have Date where JSON has text. */
export type Wire<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Wire<Item>[]
    : T extends object
      ? { [Field in keyof T]: Wire<T[Field]> }
      : T;

/** A built-in kind with our metadata type, in which the name is required. */
export type Builtin<T> = Omit<Wire<T>, 'metadata' | 'apiVersion' | 'kind'> & KubeObject;

export type Deployment = Builtin<V1Deployment>;
export type ConfigMap = Builtin<V1ConfigMap>;
export type Secret = Builtin<V1Secret>;
export type Pod = Builtin<V1Pod>;
export type DisruptionBudget = Builtin<V1PodDisruptionBudget>;
export type Lease = Builtin<V1Lease>;
export type Event = Builtin<EventsV1Event>;
export type CoreEvent = Builtin<CoreV1Event>;

/** The definition of a kind, as far as this project reads it. */
export interface CustomResourceDefinition extends KubeObject {
  readonly spec?: { readonly versions?: readonly DefinitionVersion[] };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

interface DefinitionVersion {
  readonly name: string;
  readonly served: boolean;
  readonly schema?: { readonly openAPIV3Schema?: DefinitionSchema };
}

interface DefinitionSchema {
  readonly properties?: Readonly<Record<string, DefinitionSchema>>;
}

export const CRDS = defineResource<CustomResourceDefinition>({
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
});

export const DEPLOYMENTS = defineResource<Deployment>({
  group: 'apps',
  version: 'v1',
  plural: 'deployments',
  kind: 'Deployment',
  namespaced: true,
});

export const CONFIG_MAPS = defineResource<ConfigMap>({
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
});

export const SECRETS = defineResource<Secret>({
  group: '',
  version: 'v1',
  plural: 'secrets',
  kind: 'Secret',
  namespaced: true,
});

export const NAMESPACES = defineResource({
  group: '',
  version: 'v1',
  plural: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
});

export const PODS = defineResource<Pod>({ group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true });

export const DISRUPTION_BUDGETS = defineResource<DisruptionBudget>({
  group: 'policy',
  version: 'v1',
  plural: 'poddisruptionbudgets',
  kind: 'PodDisruptionBudget',
  namespaced: true,
});

export const LEASES = defineResource<Lease>({
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
});

export const EVENTS = defineResource<Event>({
  group: 'events.k8s.io',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
});

/** Events in the older core/v1 form. Only this form has writable times by which `kubectl get events` sorts. */
export const CORE_EVENTS = defineResource<CoreEvent>({
  group: '',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
});
