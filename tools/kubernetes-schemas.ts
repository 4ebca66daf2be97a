import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as kubernetes from '@kubernetes/client-node';

/** Prefix of the definitions, which keeps them apart from those of the chart. */
const PREFIX = 'kubernetes.';
const MODELS = join(dirname(createRequire(import.meta.url).resolve('@kubernetes/client-node')), 'gen/models');

/** A JSON schema. */
export type Schema = Readonly<Record<string, unknown>>;

interface Attribute {
  readonly baseName: string;
  readonly type: string;
  readonly format: string;
}

/** Types of which a pod template has only a part, so that no field is required. The chart checks the names in lists that it merges. */
const PARTIAL = new Set(['V1PodSpec', 'V1Container', 'V1Volume']);

/** Fields with quantities, which may be numbers. */
const QUANTITIES = new Set(['limits', 'requests', 'overhead', 'sizeLimit', 'divisor']);

/** Values that the API server accepts, by type and field. The types themselves have only "string". */
const CHOICES: Readonly<Record<string, readonly string[]>> = {
  'V1Toleration.operator': ['Exists', 'Equal', 'Lt', 'Gt'],
  'V1Toleration.effect': ['NoSchedule', 'PreferNoSchedule', 'NoExecute'],
  'V1TopologySpreadConstraint.whenUnsatisfiable': ['DoNotSchedule', 'ScheduleAnyway'],
  'V1TopologySpreadConstraint.nodeAffinityPolicy': ['Honor', 'Ignore'],
  'V1TopologySpreadConstraint.nodeTaintsPolicy': ['Honor', 'Ignore'],
  'V1NodeSelectorRequirement.operator': ['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'],
  'V1LabelSelectorRequirement.operator': ['In', 'NotIn', 'Exists', 'DoesNotExist'],
  'V1SeccompProfile.type': ['Localhost', 'RuntimeDefault', 'Unconfined'],
  'V1PodSecurityContext.fsGroupChangePolicy': ['Always', 'OnRootMismatch'],
  'V1Container.imagePullPolicy': ['Always', 'IfNotPresent', 'Never'],
  'V1NetworkPolicyPort.protocol': ['TCP', 'UDP', 'SCTP'],
  // A Deployment makes the pods.
  'V1PodSpec.restartPolicy': ['Always'],
};

/**
 * Returns the JSON schemas of types of Kubernetes, and of the types that they contain, as definitions by name. The client of Kubernetes has the
 * fields and their types; unknown fields are errors.
 */
export function kubernetesSchemas(roots: readonly string[]): Record<string, Schema> {
  const found: Record<string, Schema> = {};
  const visit = (name: string) => {
    const key = PREFIX + name;
    if (found[key]) return;
    const attributes = attributesOf(name);
    const required = PARTIAL.has(name) ? [] : requiredOf(name);
    found[key] = {
      type: 'object',
      additionalProperties: false,
      properties: Object.fromEntries(attributes.map(attribute => [attribute.baseName, fieldSchema(name, attribute)])),
      ...(required.length > 0 && { required }),
    };
    for (const { type } of attributes) for (const [inner] of type.matchAll(/\b(?:Core)?V\d\w+/g)) visit(inner);
  };
  for (const root of roots) visit(root);
  return found;
}

/** Returns the reference of a type in the definitions. */
function kubernetesType(name: string): Schema {
  return { $ref: `#/definitions/${PREFIX}${name}` };
}

function attributesOf(name: string): readonly Attribute[] {
  const model = (kubernetes as unknown as Record<string, { getAttributeTypeMap?(): readonly Attribute[] }>)[name];
  if (!model?.getAttributeTypeMap) throw new Error(`the client of Kubernetes has no type ${name}`);
  return model.getAttributeTypeMap();
}

/** Returns the fields that a type requires, from its declaration. */
function requiredOf(name: string): string[] {
  const declaration = readFileSync(join(MODELS, `${name}.d.ts`), 'utf8');
  return [...declaration.matchAll(/^ {4}'(\w+)': /gm)].map(([, field]) => field!);
}

function fieldSchema(owner: string, { baseName, type, format }: Attribute): Schema {
  if (QUANTITIES.has(baseName)) {
    const quantity = { type: ['string', 'number'] };
    return type === 'string' ? quantity : { type: 'object', additionalProperties: quantity };
  }
  const list = /^Array<(.+)>$/.exec(type)?.[1];
  if (list) return { type: 'array', items: typeSchema(list, format) };
  const choices = CHOICES[`${owner}.${baseName}`];
  return choices ? { enum: choices } : typeSchema(type, format);
}

function typeSchema(type: string, format: string): Schema {
  if (/^(Core)?V\d/.test(type)) return kubernetesType(type);
  if (type === 'number') return { type: format.startsWith('int') ? 'integer' : 'number' };
  if (type === 'IntOrString') return { type: ['integer', 'string'] };
  if (type === 'Date') return { type: 'string' };
  if (type === '{ [key: string]: string; }') return { type: 'object', additionalProperties: { type: 'string' } };
  if (type === 'string' || type === 'boolean') return { type };
  if (type === 'any' || type === 'object') return {};
  throw new Error(`no schema is known for the type ${type} of Kubernetes`);
}
