import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { findProgram } from '../local/programs.ts';
import { createMetrics } from '../operator/kube/metrics.ts';
import { RESOURCE_METRICS } from '../operator/metrics.ts';
import { RunMetrics } from '../pipeline/runs/metrics.ts';
import { ALERTS } from './alerts.ts';
import { dashboardExpressions } from './grafana-dashboard.ts';

/** Functions and keywords of PromQL in the expressions. */
const WORDS =
  /\b(max|sum|by|on|rate|increase|absent|or|and|unless|bool|time|avg_over_time|last_over_time|histogram_quantile|vector)\b/g;

test('alerts and dashboard use only metrics and labels that the programs serve', () => {
  const known = new Map<string, readonly string[]>();
  const registered = [createMetrics().registry, new RunMetrics().registry].flatMap(
    registry => registry.getMetricsAsArray() as unknown as { name: string; type: string; labelNames: string[] }[],
  );
  for (const { name, type, labelNames } of [...registered, ...RESOURCE_METRICS]) {
    known.set(name, labelNames);
    if (type === 'histogram') known.set(`${name}_bucket`, [...labelNames, 'le']);
  }
  const labels = new Set([...known.values()].flat());
  for (const expression of [...ALERTS.map(alert => alert.expression), ...dashboardExpressions()]) {
    const metrics: string[] = expression.match(/\b(ooni|kube|leader|controller|workqueue|rest)_[a-z_]+/g) ?? [];
    expect(metrics.length, expression).toBeGreaterThan(0);
    for (const name of metrics) expect([...known.keys()], expression).toContain(name);
    const rest = expression
      .replaceAll(/"[^"]*"/g, '')
      .replaceAll(/\[\d+[mhd](:\d+m)?\]/g, '')
      .replaceAll(/\b\d+(\.\d+)?\b/g, '')
      .replaceAll(WORDS, '');
    for (const word of rest.match(/[a-z_]+/g) ?? []) {
      if (!metrics.includes(word)) expect([...labels], expression).toContain(word);
    }
  }
});

const RULES = join(import.meta.dirname, '../helm/ooni-pipeline/alerts/ooni-pipeline.yaml');
const FOLDER = join(import.meta.dirname, '../test/alerts');
const TESTS = readdirSync(FOLDER).map(name => join(FOLDER, name));

test('each alert fires on its failure and not without it, as promtool evaluates it', async ({ skip }) => {
  const promtool = findProgram('promtool');
  if (!promtool) return skip('promtool is not on this machine; npx node local/obtain.ts promtool');
  // Exits with another status, and says which expectation differs, if a rule or a test fails.
  for (const args of [
    ['check', 'rules', '--lint-fatal', RULES],
    ['test', 'rules', ...TESTS],
  ]) {
    const { stdout } = await promisify(execFile)(promtool.path, args);
    expect(stdout).toContain('SUCCESS');
  }
});

test('each alert has a unit test', () => {
  const tested = TESTS.map(file => readFileSync(file, 'utf8')).join('');
  for (const { name } of ALERTS) expect(tested).toMatch(new RegExp(`alertname: ${name}\\s`));
});

test('each alert has a section that says what to do, and each section an alert', () => {
  const page = readFileSync(join(import.meta.dirname, '../docs/alerts.md'), 'utf8');
  const sections = [...page.matchAll(/^## (.*)\n\n(.+)$/gm)];
  expect(sections.map(([, title]) => title)).toEqual(ALERTS.map(({ name }) => name));
});

test('the dashboard shows each metric that an alert reads', () => {
  const shown = dashboardExpressions().join('\n');
  for (const { name, expression } of ALERTS) {
    for (const metric of expression.match(/\b(ooni|kube|leader)_[a-z_]+/g)!) expect(shown, name).toContain(metric);
  }
});
