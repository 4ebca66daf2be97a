import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

const CHART = join(import.meta.dirname, '../helm/ooni-pipeline');

interface Schema {
  readonly $ref?: string;
  readonly properties?: Record<string, Schema>;
  readonly additionalProperties?: boolean;
}
const schema = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8')) as Schema & {
  definitions: Record<string, Schema>;
};

/** Returns the paths that only the values of the chart have, or only their schema. */
function differences(values: Record<string, unknown>, of: Schema, prefix: string): string[] {
  if (of.$ref?.startsWith('#/definitions/kubernetes.')) return [];
  const { properties } = of.$ref ? schema.definitions[of.$ref.split('/').at(-1)!]! : of;
  // The chart names no keys of a map such as `settings`.
  if (!properties || Object.keys(values).length === 0) return [];
  const keys = new Set([...Object.keys(values), ...Object.keys(properties)]);
  return [...keys].flatMap(key => {
    const path = `${prefix}${key}`;
    const [value, next] = [values[key], properties[key]];
    if (value === undefined || next === undefined) return [path];
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? differences(value as Record<string, unknown>, next, `${path}.`)
      : [];
  });
}

test('the schema of the chart allows exactly the values that the chart has', () => {
  const values = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as Record<string, unknown>;
  // A chart that depends on this one may switch it off.
  expect(differences(values, schema, ''), 'values that only values.yaml or only values.schema.json has').toEqual([
    'enabled',
  ]);
});

test('a value without an effect is found', () => {
  const values = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as { operator: object };
  const wrong = { ...values, operator: { ...values.operator, budget: true } };
  expect(differences(wrong, schema, '')).toEqual(['operator.budget', 'enabled']);
});
