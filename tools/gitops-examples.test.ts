import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

const ROOT = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly properties?: Record<string, Schema>;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly definitions?: Record<string, Schema>;
}
const SCHEMA = JSON.parse(read('helm/ooni-pipeline/values.schema.json')) as Schema;

/** Returns the paths of values that the schema of the chart does not allow. */
function unknownValues(value: unknown, schema: Schema, path: string): string[] {
  if (schema.$ref) return unknownValues(value, SCHEMA.definitions![schema.$ref.split('/').at(-1)!]!, path);
  if (schema.enum && !schema.enum.includes(value)) return [path];
  if (schema.pattern && !(typeof value === 'string' && new RegExp(schema.pattern).test(value))) return [path];
  if (!schema.properties) return [];
  return Object.entries(value as object).flatMap(([key, one]) => {
    const next = schema.properties![key];
    return next ? unknownValues(one, next, `${path}.${key}`) : [`${path}.${key}`];
  });
}

interface Document {
  readonly kind: string;
  readonly spec: Record<string, unknown>;
}
const documents = (path: string) => parseAllDocuments(read(path)).map(document => document.toJS() as Document);

const argocd = documents('gitops/argocd/application.yaml')[0]!;
const flux = documents('gitops/flux/helmrelease.yaml').find(({ kind }) => kind === 'HelmRelease')!;

test.each([
  ['Argo CD', (argocd.spec.source as { helm: { valuesObject: Record<string, unknown> } }).helm.valuesObject],
  ['Flux', flux.spec.values as Record<string, unknown>],
])('the example for %s has values of the chart, and no credentials', (_, values) => {
  expect(unknownValues(values, SCHEMA, 'values')).toEqual([]);
  expect(values).toMatchObject({ gitops: true, credentials: { existingSecret: expect.any(String) } });
  expect(values.credentials).not.toHaveProperty('values');
});

test('the examples name the chart and its version', () => {
  const chart = parse(read('helm/ooni-pipeline/Chart.yaml')) as { name: string; version: string };
  const minor = chart.version.split('.').slice(0, 2).join('.');
  expect(argocd.spec.source).toMatchObject({ chart: chart.name, targetRevision: `${minor}.*` });
  const source = documents('gitops/flux/helmrelease.yaml').find(({ kind }) => kind === 'OCIRepository')!;
  expect(source.spec).toMatchObject({ url: `oci://ghcr.io/ooni/charts/${chart.name}`, ref: { semver: `${minor}.x` } });
});
