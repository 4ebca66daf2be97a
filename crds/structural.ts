import { z } from 'zod';
import { API_VERSION, GROUP, type Kind, VERSION } from './resource.ts';

/** A JSON schema in the form of the API server: OpenAPI v3, "structural" (every field with one type, no alternatives). */
export interface StructuralSchema {
  type?: string;
  properties?: Record<string, StructuralSchema>;
  items?: StructuralSchema;
  [key: string]: unknown;
}

/** zod writes these bounds for "an integer of JavaScript"; for Kubernetes `format: int64` has this meaning. */
const SAFE = new Set([Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]);
const DROPPED = new Set(['$schema', 'propertyNames']);

/** Returns the structural schema of the input of a zod schema (the API server applies the defaults). */
export function structural(schema: z.ZodType): StructuralSchema {
  return convert(z.toJSONSchema(schema, { io: 'input' }) as Record<string, unknown>);
}

function convert(json: Record<string, unknown>): StructuralSchema {
  const result: StructuralSchema = {};
  for (const [key, value] of Object.entries(json)) {
    if (DROPPED.has(key) || (typeof value === 'number' && SAFE.has(value))) continue;
    if (key === 'type' && Array.isArray(value)) {
      result.type = value.find(type => type !== 'null');
      result.nullable = true;
    } else if (key === 'anyOf') {
      // zod uses this form for `T | null` when T has other keywords.
      const [only, ...others] = (value as Record<string, unknown>[]).filter(one => one.type !== 'null');
      if (!only || others.length > 0) throw new Error(`no structural schema for ${JSON.stringify(value)}`);
      Object.assign(result, convert(only), { nullable: true });
    } else if (key === 'properties') {
      result.properties = Object.fromEntries(
        Object.entries(value as Record<string, Record<string, unknown>>).map(([name, one]) => [name, convert(one)]),
      );
    } else if (key === 'items') {
      result.items = convert(value as Record<string, unknown>);
    } else if (key === 'additionalProperties') {
      // false: the API server prunes unknown fields anyway. {}: the schema has x-kubernetes-preserve-unknown-fields.
      if (value && Object.keys(value).length > 0)
        result.additionalProperties = convert(value as Record<string, unknown>);
    } else {
      result[key] = value;
    }
  }
  if (result.properties && Object.keys(result.properties).length === 0) delete result.properties;
  if (result.type === 'integer') result.format ??= 'int64';
  return result;
}

/** Adds the default to the description, because `kubectl explain` does not show it otherwise. */
function explained(schema: StructuralSchema): StructuralSchema {
  const { default: initial, description = '' } = schema;
  const shown = Array.isArray(initial) ? initial.join(', ') : typeof initial === 'object' ? '' : (initial ?? '');
  const isDescribed = shown === '' || /\bdefault\b/i.test(String(description));
  return {
    ...schema,
    ...(!isDescribed && { description: `${description} Default: ${shown}.` }),
    ...(schema.properties && {
      properties: Object.fromEntries(Object.entries(schema.properties).map(([name, one]) => [name, explained(one)])),
    }),
  };
}

/** Returns the CustomResourceDefinition of a kind as data. */
export function customResourceDefinition(kind: Kind): Record<string, unknown> {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${kind.plural}.${GROUP}`, labels: { 'app.kubernetes.io/part-of': 'ooni-pipeline' } },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.singular,
        shortNames: [kind.shortName],
        categories: ['ooni'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {}, ...(kind.scale && { scale: kind.scale }) },
          additionalPrinterColumns: kind.columns.map(({ name, type, path, description, wide }) => ({
            name,
            type,
            jsonPath: path,
            description,
            ...(wide && { priority: 1 }),
          })),
          ...(kind.selectable.length > 0 && { selectableFields: kind.selectable.map(jsonPath => ({ jsonPath })) }),
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: kind.description,
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string', description: API_VERSION },
                kind: { type: 'string', description: kind.kind },
                metadata: { type: 'object' },
                spec: explained(structural(kind.spec)),
                status: structural(kind.status),
              },
              ...(kind.rules && { 'x-kubernetes-validations': kind.rules }),
            },
          },
        },
      ],
    },
  };
}
