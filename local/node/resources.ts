import type { V1Container, V1Node, V1PodStatus } from '@kubernetes/client-node';
import type { Builtin, Pod, Wire } from '../../operator/kube/builtin.ts';
import { defineResource, type Stored } from '../../operator/kube/resource.ts';

export type Container = Wire<V1Container>;
export type PodStatus = Wire<V1PodStatus>;
export type PodSpec = NonNullable<Pod['spec']>;
export type StoredPod = Stored<Pod>;
export type ContainerStatus = NonNullable<PodStatus['containerStatuses']>[number];
export type ContainerState = NonNullable<ContainerStatus['state']>;
export type PodCondition = NonNullable<PodStatus['conditions']>[number];

export const NODES = defineResource<Builtin<V1Node>>({
  group: '',
  version: 'v1',
  plural: 'nodes',
  kind: 'Node',
  namespaced: false,
});
