import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createMetrics } from '../operator/kube/metrics.ts';
import { registerMetrics } from '../operator/metrics.ts';
import { RunMetrics } from '../pipeline/runs/metrics.ts';
import { ALERTS } from './alerts.ts';
import { dashboardExpressions } from './grafana-dashboard.ts';

/** Functions and keywords of PromQL in the expressions. */
const WORDS = /\b(max|sum|by|rate|increase|or|vector)\b/g;

test('alerts and dashboard use only metrics and labels that the programs serve', () => {
  const resources = new Registry();
  registerMetrics(resources, { schedules: () => [], backfills: () => [], pools: () => [] });
  const known = new Map<string, readonly string[]>();
  for (const registry of [createMetrics().registry, resources, new RunMetrics().registry]) {
    for (const metric of registry.getMetricsAsArray() as unknown as { name: string; labelNames: string[] }[]) {
      known.set(metric.name, metric.labelNames);
    }
  }
  const labels = new Set([...known.values()].flat());
  for (const expression of [...ALERTS.map(alert => alert.expression), ...dashboardExpressions()]) {
    const metrics: string[] = expression.match(/\b(ooni|kube|leader|controller|workqueue|rest)_[a-z_]+/g) ?? [];
    expect(metrics.length, expression).toBeGreaterThan(0);
    for (const name of metrics) expect([...known.keys()], expression).toContain(name);
    const rest = expression
      .replaceAll(/"[^"]*"/g, '')
      .replaceAll(/\[\d+[mhd]\]/g, '')
      .replaceAll(WORDS, '');
    for (const word of rest.match(/[a-z_]+/g) ?? []) {
      if (!metrics.includes(word)) expect([...labels], expression).toContain(word);
    }
  }
});
