import type { z } from 'zod';
import type { Condition } from './conditions.ts';

export const GROUP = 'pipeline.ooni.org';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;

/** Annotations and the finalizer on our resources. */
export const ANNOTATIONS = {
  /** "true": take over a Schedule, workflow or Deployment of the right name that the operator did not make for this resource. */
  adopt: `${GROUP}/adopt`,
  /** "true" on a resource being deleted: remove the finalizer even if Temporal is unavailable, and leave behind the objects in Temporal. */
  abandon: `${GROUP}/abandon`,
  /**
   * An instant on a restored Backfill with `reprocess: All`: buckets that a run completed since then are done. Without it, a cluster that is
   * rebuilt would process all of them again.
   */
  completedSince: `${GROUP}/completed-since`,
  /** A bucket on a PipelineSchedule: the operator runs it once, now. `<bucket>#<n>` with another n runs it again. */
  runBucket: `${GROUP}/run-bucket`,
} as const;
/** Label of a resource with the name of its installation. Only the operator of this installation handles the resource. */
export const INSTALLATION_LABEL = `${GROUP}/installation`;
export const FINALIZER = `${GROUP}/temporal`;

/** The part of an object's metadata that this project reads or writes. */
export interface Metadata {
  name: string;
  namespace?: string;
  uid?: string;
  generation?: number;
  resourceVersion?: string;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  finalizers?: string[];
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: {
    apiVersion: string;
    kind: string;
    name: string;
    uid: string;
    controller?: boolean;
    blockOwnerDeletion?: boolean;
  }[];
}

/** Fields of every status of ours. */
export interface CommonStatus {
  observedGeneration?: number;
  conditions?: Condition[];
  links?: Record<string, string>;
}

/** An object of one of our kinds. */
export interface Resource<Spec, Status> {
  apiVersion: string;
  kind: string;
  metadata: Metadata;
  spec: Spec;
  status?: Status;
}

/** A column of `kubectl get`; a `wide` one appears only with `-o wide`. */
export interface Column {
  name: string;
  type: 'string' | 'integer' | 'boolean' | 'date';
  path: string;
  description: string;
  wide?: boolean;
}

/** Source of the CustomResourceDefinition of a kind. */
export interface Kind<Spec extends z.ZodType = z.ZodType> {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortName: string;
  readonly description: string;
  readonly spec: Spec;
  readonly status: z.ZodType;
  readonly columns: readonly Column[];
  /** JSON paths for `kubectl get --field-selector`. */
  readonly selectable: readonly string[];
  /** CEL rules about the complete object (its name). */
  readonly rules?: readonly { rule: string; message: string }[];
  readonly scale?: { specReplicasPath: string; statusReplicasPath: string; labelSelectorPath: string };
}

/** An invalid spec: one sentence per problem, each with field, value and remedy. */
export class SpecError extends Error {
  override name = 'SpecError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('; '));
    this.problems = problems;
  }
}

/** Returns one step of the path of a field as the API server writes it: `.name`, or `[0]` in a list. */
function step(key: PropertyKey): string {
  return typeof key === 'number' ? `[${key}]` : `.${String(key)}`;
}

/**
 * Returns the spec of an object with its defaults. Throws SpecError when it breaks a rule. The API server has rejected most violations
 * already, except those that only a program can check and those stored before the rule existed.
 */
export function parseSpec<S extends z.ZodType>(kind: Kind<S>, object: { spec?: unknown }): z.output<S> {
  const parsed = kind.spec.safeParse(object.spec ?? {});
  if (parsed.success) return parsed.data;
  throw new SpecError(
    parsed.error.issues.map(issue => {
      const value = issue.path.reduce<unknown>(
        (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
        object.spec,
      );
      const shown = value === undefined || typeof value === 'object' ? '' : ` ${JSON.stringify(value)}`;
      return `spec${issue.path.map(step).join('')}${shown}: ${issue.message}`;
    }),
  );
}
